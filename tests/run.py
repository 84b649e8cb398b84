#!/usr/bin/env python3
"""Runs every test, on two local stacks of this checkout, and stops them afterwards: `make test` calls it.

What may be done side by side is; one line tells of each suite as it ends. What failed, and why, comes last, so that the end of
a log is enough. Everything that was said lies in $CARGO_TARGET_DIR/test-logs/, with the logs of the stacks where a part failed.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = pathlib.Path(os.environ["CARGO_TARGET_DIR"])
LANDFALL = TARGET / "debug/landfall"
LOGS = TARGET / "test-logs"
# Once more from nothing where it fails: the emulator has lost an answer while it was deployed to (a 409 to the repeated call).
UP = [
    "sh", "-c", '"$0" up "$@" || { "$0" down && "$0" up "$@"; }', LANDFALL,
    "--scale", os.environ.get("SCALE", "120"), "--ministack-port", "0", "--simulator-port", "0",
]  # fmt: skip
# The stacks, by what LANDFALL_STACK says: the usual one, and one beside it.
FIRST, SECOND = "", "second"
# Every cargo invocation is one for all crates: a narrower one would build the AWS crates again with other features.
CARGO = ["cargo", "test", "--workspace", "--no-fail-fast"]
# What asks it to stop.
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
SUITES = sorted(path.stem for path in (ROOT / "tests/e2e/tests").glob("*.rs"))

started = time.monotonic()
stopping = threading.Event()


def say(text):
    print(f"{time.monotonic() - started:6.0f} s  {text}\n", end="", flush=True)


class Part:
    """A command that is one part of the tests; it begins when others are over."""

    def __init__(self, name, command, stack=FIRST, needs=(), after=()):
        self.name, self.command = name, command
        # The commands must find their stack, and what they print must be as it is read below.
        self.env = os.environ | {"LANDFALL_STACK": stack, "CARGO_TERM_COLOR": "never"}
        # Parts without which it makes no sense, and events for which it only waits.
        self.needs, self.after = needs, after
        self.log = LOGS / f"{name.replace(' ', '-')}.log"
        self.lines, self.status, self.process = [], None, None
        # When it is over, and, of a stack, when what it stands on is built.
        self.over, self.built = threading.Event(), threading.Event()

    def run(self):
        for event in [*(part.over for part in self.needs), *self.after]:
            event.wait()
        try:
            if not stopping.is_set() and all(part.status == 0 for part in self.needs):
                self.execute()
        finally:
            self.built.set()
            self.over.set()

    def execute(self):
        begun = time.monotonic()
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )
        suite = self.name
        with self.log.open("w") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                self.lines.append(line.rstrip())
                if running := re.match(r"\s+Running (?:unittests )?\S+ \(\S*/(\w+)-\w+\)", line):
                    suite = f"{self.name}: {running[1]}"
                elif doc := re.match(r"\s+Doc-tests (\S+)", line):
                    suite = f"{self.name}: the documentation of {doc[1]}"
                elif ended := re.match(r"test result: (\w+\. (\d+) passed; (\d+) failed);.*finished in (\S+)", line):
                    if ended[2] != "0" or ended[3] != "0":
                        say(f"{suite}: {ended[1]}, {ended[4]}")
                elif "functions are built" in line:
                    self.built.set()
        self.status = self.process.wait()
        verdict = "ok" if self.status == 0 else f"FAILED (exit {self.status})"
        say(f"{self.name}: {verdict}, {time.monotonic() - begun:.0f} s")

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)

    def failed_tests(self):
        return [line for line in self.lines if re.fullmatch(r"test .* \.\.\. FAILED", line)]

    def problems(self):
        """What to read first: the failed tests with what they said, which suites they are of, or else the last that was said."""
        blocks, block = [], None
        for line in self.lines:
            if re.fullmatch(r"---- .* stdout ----", line):
                block = [line]
                blocks.append(block)
            elif line == "failures:":
                block = None
            elif re.match(r"error: (test failed|\d+ targets? failed)|Caused by:", line):
                # One that was killed, say, has no test that failed.
                block = [line]
                blocks.append(block)
            elif block is not None and not re.match(r" +(\d+: |at )", line):
                block.append(line)
        return [line for block in blocks for line in block[:60]] or self.lines[-60:]


def suites(*names, name=None, stack=FIRST, **when):
    return Part(name or " ".join(names), CARGO + [it for suite in names for it in ("--test", suite)], stack, **when)


def make(target, **when):
    return Part(target, ["make", "--no-print-directory", target], **when)


def plan():
    """Every part, and when it begins. What takes all of the machine (mixed, restored) comes one after the other."""
    stack = Part("stack", UP)
    # Cargo builds for one at a time; the stacks stand on what is built already.
    build = Part("build", [*CARGO, "--no-run"], after=[stack.built])
    second = Part("second stack", UP, SECOND, needs=[stack])
    terraform = make("terraform", needs=[stack])
    conformance = make("conformance", needs=[stack], after=[terraform.over])
    # What needs no stack takes a core for ten minutes, and gives way to everything else.
    unit = Part("unit", ["nice", "-n", "19", *CARGO, "--exclude", "landfall-e2e"], needs=[build])

    mixed = suites("mixed", needs=[stack, build], after=[conformance.over, second.over])
    library = Part("library of e2e", [*CARGO, "--lib", "exposed::"], needs=[stack, build], after=[mixed.over])
    # Two suites replace the workflow of their stack, and run by themselves; one keeps to the clock on the wall for minutes, and
    # comes when nothing heavy is left.
    twice = suites("twice", stack=SECOND, needs=[second, build])
    some = suites("cancelled", "secrets", "sources", stack=SECOND, needs=[second, build], after=[twice.over])
    restored = suites("restored", stack=SECOND, needs=[second, build], after=[some.over, mixed.over])
    windows = suites("windows", stack=SECOND, needs=[second, build], after=[restored.over])
    elsewhere = [name for part in (mixed, twice, some, restored, windows) for name in part.name.split()]
    ordinary = [name for name in SUITES if name not in elsewhere]
    e2e = suites(*ordinary, name="e2e", needs=[stack, build], after=[library.over])
    return [stack, build, second, terraform, conformance, unit, mixed, library, e2e, twice, some, restored, windows]


def interrupt(*_):
    raise KeyboardInterrupt


def down(keep_logs):
    for stack in (FIRST, SECOND):
        state = ROOT / (f".landfall-{stack}" if stack else ".landfall")
        if keep_logs and (state / "logs").is_dir():
            shutil.copytree(state / "logs", LOGS / state.name, dirs_exist_ok=True)
        env = os.environ | {"LANDFALL_STACK": stack}
        subprocess.run([LANDFALL, "down"], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, start_new_session=True)


def main():
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    for one in ENDING:
        signal.signal(one, interrupt)
    parts = plan()
    try:
        for part in parts:
            threading.Thread(target=part.run, daemon=True).start()
        for part in parts:
            part.over.wait()
    except KeyboardInterrupt:
        # Whoever is impatient, or a runner that asks more than once, must not leave a stack behind.
        for one in ENDING:
            signal.signal(one, signal.SIG_IGN)
        stopping.set()
        say("stopping")
        for part in parts:
            part.stop()
        return 130
    finally:
        down(keep_logs=any(part.status != 0 for part in parts))
    failed = [part for part in parts if part.status]
    for part in failed:
        print(f"\n==== {part.name} failed; everything it said is in {part.log}\n")
        print("\n".join(part.problems()))
    passed = sum(part.status == 0 for part in parts)
    print(f"\n{passed} of {len(parts)} parts passed, in {time.monotonic() - started:.0f} s.")
    for part in failed:
        print("\n".join(f"{part.name}: {line}" for line in part.failed_tests() or ["FAILED"]))
    for part in parts:
        if part.status is None:
            print(f"{part.name}: was not run")
    return 0 if passed == len(parts) else 1


if __name__ == "__main__":
    sys.exit(main())
