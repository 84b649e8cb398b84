"""Starts the simulator's binary on a free port and gives clients that check every answer."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.config import Config

import model

HERE = pathlib.Path(__file__).resolve().parent
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def binary():
    """The program under test: given, or built."""
    given = os.environ.get("LANDFALL_SIMULATOR_BIN")
    if given:
        return given
    # The whole workspace, as make builds it: one crate alone would get its dependencies built anew with other features.
    command = ["cargo", "build", "--quiet", "--workspace", "--bins", "--message-format=json"]
    built = subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True)
    found = [json.loads(line).get("executable") for line in built.stdout.splitlines() if line.startswith("{")]
    return next(path for path in found if path and pathlib.Path(path).stem == "landfall-simulator")


def eventually(look, seconds=30):
    """What `look` gives once it gives something."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"still {seen!r} after {seconds} s"
        time.sleep(0.05)


def aws_client(service, url, key="test", region="us-east-1", **config):
    """A boto3 client that does not try again."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


# Simulated seconds per real second, where a test says nothing else: a job takes about a second.
SCALE = 600


class Simulator:
    """One running simulator."""

    def __init__(self, program, *flags):
        scale = () if "--scale" in flags else ("--scale", str(SCALE))
        command = [program, "--port", "0", *scale, "--callback-secret", SECRET, *flags]
        # Without MiniStack: what a shell has exported must not change what is tested.
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LANDFALL_", "AWS_"))}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        line = self.process.stdout.readline()
        assert line, f"{command} ended with {self.process.wait()}"
        self.url = json.loads(line)["listening"]
        self.offsets = "timestampFormat=z" not in flags

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)

    def call(self, method, path, body=None, headers=None, raw=None):
        """A plain HTTP request; (status, headers, body)."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def sim(self, method, path, body=None):
        """A request of the control plane, which must succeed."""
        status, _, text = self.call(method, f"/_sim/{path}", body)
        assert status == 200, text
        return json.loads(text)

    def slow(self):
        """Lets time pass as on the wall, so that a job does not end between two requests."""
        self.sim("POST", "clock", {"scale": 1})

    def fast(self):
        """Lets time pass as it does at first."""
        self.sim("POST", "clock", {"scale": SCALE})

    def client(self, service, key="test", region="us-east-1", **config):
        """A boto3 client of whoever has a key; MGN's answers are held against the model."""
        client = aws_client(service, self.url, key, region, parameter_validation=False, **config)
        if service == "mgn":
            client.meta.events.register("after-call.mgn", self._judge)
        return client

    def _judge(self, http_response, model, **_):
        if http_response.status_code < 300:
            expected = model.http.get("responseCode", 200)
            assert http_response.status_code == expected, f"{model.name}: {http_response.status_code}"
            check(model, http_response.content, self.offsets)
        else:
            assert http_response.headers.get("x-amzn-errortype"), f"{model.name}: no x-amzn-errortype"
        assert http_response.headers.get("x-amzn-requestid")

    def seed(self, *names, **members):
        """Machines whose replication is done; their server IDs by name."""
        machines = [machine(name, **members) for name in names]
        return self.sim("POST", "seed", {"initializeMgn": True, "servers": machines})["servers"]


check = model.check


def machine(name, **members):
    number = abs(hash(name)) % (1 << 60)
    return {
        "sourceVmId": name,
        "hostname": name,
        "ips": ["10.9.0.5"],
        "os": "linux",
        "ssmInstanceId": f"mi-{number:017x}",
        "replicated": True,
        **members,
    }


@pytest.fixture(scope="session")
def program():
    return binary()


@pytest.fixture
def start(program):
    """Starts simulators with other flags; all end with the test."""
    running = []

    def begin(*flags):
        running.append(Simulator(program, *flags))
        return running[-1]

    yield begin
    for simulator in running:
        simulator.stop()


@pytest.fixture
def simulator(start):
    return start()


@pytest.fixture(scope="session")
def ministack(tmp_path_factory):
    """The endpoint of a MiniStack of these tests' own, which enforces permissions as the local stack's does."""
    scratch = tmp_path_factory.mktemp("ministack")
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("LANDFALL_", "AWS_", "MINISTACK_"))},
        **CREDENTIALS,
        "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": "us-east-1", "MINISTACK_ACCOUNT_ID": "000000000000", "AUTH": "true", "PERSIST_STATE": "0",
        "STATE_DIR": str(scratch / "state"), "TMPDIR": str(scratch), "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0",
    }  # fmt: skip
    process, url = None, None

    def begin():
        nonlocal process, url
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        with open(scratch / "log", "w") as log:
            command = [sys.executable, "-m", "ministack"]
            process = subprocess.Popen(command, env=env | {"GATEWAY_PORT": str(port)}, stdout=log, stderr=log)

    begin()
    # It binds its port seconds later, and somebody else may have been given it by then.
    chances = iter(range(2))

    def ready():
        if process.poll() is not None:
            assert next(chances, None) is not None, (scratch / "log").read_text()
            begin()
        try:
            return urllib.request.urlopen(f"{url}/_ministack/ready", timeout=5).status == 200
        except OSError:
            return False

    try:
        eventually(ready, seconds=90)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def stacked(start, ministack):
    """A simulator in front of MiniStack."""
    return start("--ministack-url", ministack)


@pytest.fixture
def mgn(simulator):
    return simulator.client("mgn")


@pytest.fixture
def aws(simulator):
    """Runs `aws mgn …`; the parsed output, or the error's name for a refusal."""
    beside = pathlib.Path(sys.executable).parent / "aws"
    command = str(beside) if beside.exists() else shutil.which("aws")
    assert command, "the AWS CLI is missing: pip install awscli"
    shapes = boto3.client("mgn", region_name="us-east-1", **{k.lower(): v for k, v in CREDENTIALS.items() if "DEFAULT" not in k})
    names = {xform.replace("_", "-"): name for xform, name in shapes.meta.method_to_api_mapping.items()}

    def run(operation, *arguments, refused=None):
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1", **CREDENTIALS}
        line = [command, "mgn", operation, "--endpoint-url", simulator.url, "--output", "json", *arguments]
        done = subprocess.run(line, env=env, capture_output=True, text=True)
        if refused:
            assert done.returncode in (254, 255), (done.returncode, done.stdout, done.stderr)
            assert f"({refused})" in done.stderr, done.stderr
            return done.stderr
        assert done.returncode == 0, f"{line}: {done.stderr}"
        if "--max-items" not in arguments and done.stdout:
            check(shapes.meta.service_model.operation_model(names[operation]), done.stdout.encode())
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run
