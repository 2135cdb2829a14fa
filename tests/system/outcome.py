"""The output of the test binary → the result of each test."""

import json
import re
from dataclasses import dataclass

RESULT = re.compile(r"^test (\S+) \.\.\. (ok|FAILED|ignored)")
SECTION = re.compile(r"^---- (\S+) stdout ----$")
# tests/kernel/support/needs.rs
SKIPPED = re.compile(r"^skipped: (this kernel lacks .*)$")
KERNEL = "kernel: "


@dataclass(frozen=True)
class Result:
    """The result of a test: `passed`, `failed` or `skipped`, which has a reason."""

    ended: str
    reason: str = ""


class Outcome:
    """The results of one run of the test binary."""

    def __init__(self, said: str):
        self.results: dict[str, Result] = {}
        self.features: dict = {}
        """The kernel according to `check --kernel`: the report's key `kernel`."""
        self.came_to_its_end = False
        section = None
        for line in said.splitlines():
            if found := RESULT.match(line):
                # An ignored test tests nothing, and was not meant to be ignored.
                ended = "passed" if found[2] == "ok" else "failed"
                self.results[found[1]] = Result(ended)
            elif found := SECTION.match(line):
                section = found[1]
            elif section and (found := SKIPPED.match(line)):
                self.results[section] = Result("skipped", found[1])
            elif line.startswith(KERNEL):
                self.features = json.loads(line.removeprefix(KERNEL))["kernel"]
            elif line.startswith("test result: "):
                self.came_to_its_end = True

    def ended(self, how: str) -> list[str]:
        """The tests with this result."""
        return sorted(test for test, result in self.results.items() if result.ended == how)

    def faults(self, expected: set[str]) -> list[str]:
        """The errors of the run, in which these tests should have run."""
        faults = [f"{test} failed" for test in self.ended("failed")]
        faults += [f"{test} was not run" for test in sorted(expected - self.results.keys())]
        if not self.came_to_its_end:
            faults.append("the tests did not come to their end")
        if not self.features:
            faults.append("`iterctl check --kernel` said nothing")
        return faults
