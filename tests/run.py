#!/usr/bin/env python3
"""Runs every test, on two local stacks of this checkout, and stops them afterwards: `make test` calls it.

What may be done side by side is; one line tells of each suite as it ends. What failed, and why, comes last, so that the end of
a log is enough. Everything that was said lies in $CARGO_TARGET_DIR/test-logs/.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = pathlib.Path(os.environ["CARGO_TARGET_DIR"])
LANDFALL = TARGET / "debug/landfall"
LOGS = TARGET / "test-logs"
# Simulated seconds per real second.
SCALE = os.environ.get("SCALE", "120")

# What takes all of the machine: one after the other, on either stack.
HEAVY, HEAVIER = ["mixed"], ["restored"]
# What the second stack has to do before the heavier one, and after it. Two suites replace the workflow of their stack, and run
# by themselves; one keeps to the clock on the wall for minutes, and comes when nothing heavy is left.
BEFORE, AFTER = [["twice"], ["cancelled", "secrets", "sources"]], [["windows"]]
SUITES = sorted(path.stem for path in (ROOT / "tests/e2e/tests").glob("*.rs"))

# Every cargo invocation is one for all crates: a narrower one would build the AWS crates again with other features.
CARGO = ["cargo", "test", "--workspace", "--no-fail-fast"]

started = time.monotonic()
output = threading.Lock()
children = set()


def say(text):
    with output:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)


class Part:
    """A command that is one part of the tests."""

    def __init__(self, name, command, stack=None):
        self.name = name
        self.command = command
        self.env = os.environ | ({"LANDFALL_STACK": stack} if stack else {})
        self.log = LOGS / f"{name.replace(' ', '-')}.log"
        self.lines = []
        self.status = None
        self.built = threading.Event()

    def run(self):
        """Whether it went well."""
        begun = time.monotonic()
        process = subprocess.Popen(
            self.command, cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        children.add(process)
        suite = self.name
        with self.log.open("w") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                self.lines.append(line.rstrip())
                if running := re.match(r"\s+Running (?:unittests )?(\S+) \(\S*/(\w+)-\w+\)", line):
                    suite = f"{self.name}: {running[2]}"
                elif line.startswith("   Doc-tests"):
                    suite = f"{self.name}: {line.strip()}"
                elif (ended := re.match(r"test result: (.*?\. (\d+) passed; (\d+) failed);.*finished in (\S+)", line)) and (
                    ended[2] != "0" or ended[3] != "0"
                ):
                    say(f"{suite}: {ended[1]}, {ended[4]}")
                elif "functions are built" in line:
                    self.built.set()
        self.built.set()
        self.status = process.wait()
        children.discard(process)
        verdict = "ok" if self.status == 0 else f"FAILED (exit {self.status})"
        say(f"{self.name}: {verdict}, {time.monotonic() - begun:.0f} s")
        return self.status == 0

    def problems(self):
        """What to read first: the failed tests with what they said, or else the last that was said at all."""
        blocks, block = [], None
        for line in self.lines:
            if re.fullmatch(r"---- .* stdout ----", line):
                block = [line]
                blocks.append(block)
            elif line == "failures:":
                block = None
            elif block is not None and not re.match(r" +(\d+: |at )", line):
                block.append(line)
        return [line for block in blocks for line in block[:60]] or self.lines[-60:]


def make(target):
    return Part(target, ["make", "--no-print-directory", target])


def suites(names, stack=None, name=None):
    return Part(name or " ".join(names), CARGO + [argument for suite in names for argument in ("--test", suite)], stack)


def main():
    LOGS.mkdir(parents=True, exist_ok=True)
    up = [str(LANDFALL), "up", "--scale", SCALE]
    first = Part("stack", up)
    # On free ports: the first one has the usual ones.
    second = Part("second-stack", up + ["--ministack-port", "0", "--simulator-port", "0"], "second")
    build = Part("build", CARGO + ["--no-run"])
    elsewhere = HEAVY + HEAVIER + sum(BEFORE + AFTER, [])
    ordinary = [suite for suite in SUITES if suite not in elsewhere]
    parts = [first, second, build]

    def run(*more):
        """Runs parts one after another, whatever becomes of each."""
        parts.extend(more)
        for part in more:
            part.run()

    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        one = pool.submit(first.run)
        # Cargo builds for one at a time, and the stack stands on what is built already.
        first.built.wait()
        tests = pool.submit(build.run)
        if not one.result():
            tests.result()
            return parts
        two = pool.submit(second.run)
        run(make("terraform"), make("conformance"))
        if not tests.result():
            two.result()
            return parts

        def on_second_stack():
            if not two.result():
                return
            run(*(suites(names, "second") for names in BEFORE))
            heavy.result()
            run(*(suites(names, "second") for names in [HEAVIER, *AFTER]))

        # What needs no stack takes a core for ten minutes, and gives way to everything else.
        unit = pool.submit(run, Part("unit", ["nice", "-n", "19", *CARGO, "--exclude", "landfall-e2e"]))
        heavy = pool.submit(run, suites(HEAVY))
        others = pool.submit(on_second_stack)
        heavy.result()
        run(Part("e2e-lib", ["cargo", "test", "--workspace", "--lib", "exposed::"]), suites(ordinary, name="e2e"))
        others.result()
        unit.result()
    return parts


def down():
    for name in ("", "second"):
        subprocess.run([LANDFALL, "down"], cwd=ROOT, env=os.environ | {"LANDFALL_STACK": name}, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    try:
        parts = main()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        for child in list(children):
            child.terminate()
        down()
    failed = [part for part in parts if part.status != 0]
    for part in failed:
        print(f"\n==== {part.name} failed; everything it said is in {part.log}\n")
        print("\n".join(part.problems()))
    print(f"\n{len(parts) - len(failed)} of {len(parts)} parts passed, in {time.monotonic() - started:.0f} s.")
    for part in failed:
        tests = [line for line in part.lines if re.fullmatch(r"test .* \.\.\. FAILED", line)]
        print("\n".join(f"{part.name}: {line}" for line in tests or ["FAILED"]))
    sys.exit(bool(failed))
