"""A callback of the running stack, verified by the public Standard Webhooks library."""

import base64
import json
import os
import pathlib
import time
import urllib.request
import uuid

import boto3
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Stack:
    """The local stack of this checkout."""

    def __init__(self):
        name = os.environ.get("LANDFALL_STACK")
        path = ROOT / (f".landfall-{name}" if name else ".landfall") / "stack.json"
        assert path.is_file(), "run `landfall up` first (make test does)"
        self.info = json.loads(path.read_text())
        self.secret_id = self.info["tableName"].removesuffix("-migrations") + "/callback-signing"

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.info["ministackUrl"],
            region_name=self.info["region"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def submit(self, migration_id):
        """A request that the pre-flight refuses: the shortest way to a callback."""
        body = {
            "migrationId": migration_id, "appName": "callbacks", "source": "azure", "target": "aws",
            "environment": "test", "wave": "callbacks", "sourceVmId": f"vm-{migration_id}", "steps": ["replicate"],
            "subnetId": "subnet-00000000", "securityGroupIds": ["sg-00000000"], "instanceType": "t3.small",
            "callbackUrl": f"{self.info['simulatorUrl']}/sink/{migration_id}",
        }
        self.client("sqs").send_message(QueueUrl=self.info["requestQueueUrl"], MessageBody=json.dumps(body))

    def callback(self, name, seconds=120):
        """What arrived there, once it has."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with urllib.request.urlopen(f"{self.info['simulatorUrl']}/_sim/callbacks", timeout=30) as answer:
                ours = [it for it in json.load(answer) if it["name"] == name]
            if ours:
                return ours[0]
            time.sleep(0.2)
        raise AssertionError(f"no callback of {name} in {seconds} s")


@pytest.fixture(scope="module")
def delivered():
    """A callback that was sent while two keys were in the secret; with them."""
    stack = Stack()
    secrets = stack.client("secretsmanager")
    old = stack.info["callbackSecret"]
    new = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    name = f"signed-{uuid.uuid4()}"
    secrets.put_secret_value(SecretId=stack.secret_id, SecretString=f"{new}\n{old}\n")
    try:
        stack.submit(name)
        callback = stack.callback(name)
    finally:
        # Other tests run on the same stack; they are content with either.
        secrets.put_secret_value(SecretId=stack.secret_id, SecretString=old)
    return callback, old, new


def test_each_key_of_the_secret_verifies(delivered):
    callback, old, new = delivered
    for key in (old, new):
        body = Webhook(key).verify(callback["text"], callback["headers"])
        assert body["type"] == "migration.failed"
        assert body["data"]["migrationId"] == callback["name"]
    # The sink, which knows the old one, agrees.
    assert callback["verified"], callback


def test_nothing_else_verifies(delivered):
    callback, old, _ = delivered
    text, headers = callback["text"], callback["headers"]
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    for key, body, changes in [
        (other, text, {}),
        (old, text.replace("migration.failed", "migration.succeeded"), {}),
        (old, text, {"webhook-id": "msg_default_other_1"}),
        (old, text, {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
        (old, text, {"webhook-timestamp": "1"}),
    ]:
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(body, {**headers, **changes})


def test_what_arrives_fits_the_schema_s_outcome(delivered):
    callback, _, _ = delivered
    schema = json.loads((ROOT / "schemas" / "callbacks" / "migration.failed.schema.json").read_text())
    assert schema["properties"]["type"]["const"] == callback["body"]["type"]
    findings = callback["body"]["data"]["failure"]["findings"]
    assert "SUBNET_NOT_FOUND" in {finding["code"] for finding in findings}
