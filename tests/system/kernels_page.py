"""Results of the tests on several kernels → a table for the terminal, and docs/kernels.md."""

import datetime
from collections import Counter
from itertools import groupby

HEAD = """\
# On which kernels iterctl is tested

`make test-kernels` boots each of these Debian kernels in a virtual machine, runs the tests of `tests/kernel/` there as root, and
writes this page. The processor is emulated, so KVM is not needed. The tests are run for every change.

If a kernel lacks a feature that a test needs, the test is skipped, and the reason is listed below. iterctl tests a kernel for its
features and does not rely on the version: `iterctl check --kernel` shows them. One of the tests compares this result, on
each of these kernels, with the table of the versions that introduced each feature.

Some tests are not run here, because they take minutes with an emulated processor, and test iterctl more than the kernel: thousands
of kills, failing calls and races.
"""

MARKS = {"present": "yes", "absent": "no", "unknown": "?"}
WORDS = {"passed": "ok", "skipped": "skipped", "failed": "FAILED"}


def table(runs) -> str:
    """A table with one line for each test and one column for each kernel."""
    tests = sorted({test for run in runs for test in run.outcome.results})
    width = max((len(test) for test in tests), default=0)
    lines = [" " * width + "".join(f"  {run.title:>16}" for run in runs)]
    for test in tests:
        ended = [run.outcome.results.get(test) for run in runs]
        cells = [WORDS[result.ended] if result else "missing" for result in ended]
        lines.append(f"{test:{width}}" + "".join(f"  {cell:>16}" for cell in cells))
    lines += [f"  skipped {test}: {reason}" for reason, tests in reasons(runs) for test in tests]
    return "\n".join(lines)


def page(runs) -> str:
    """The complete text of docs/kernels.md."""
    today = datetime.date.today().isoformat()
    return "\n".join(
        [
            HEAD,
            f"On {today}:\n",
            summary(runs),
            "## Features\n",
            features(runs),
            *skips(runs),
            modules(runs),
        ]
    )


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def summary(runs) -> str:
    def row(run):
        counts = [str(len(run.outcome.ended(how))) for how in ("passed", "failed", "skipped")]
        return [
            run.title,
            f"`{run.kernel.release}`",
            run.kernel.suite,
            *counts,
            f"{run.seconds:.0f} s",
        ]

    head = ["Linux", "release", "Debian suite", "passed", "failed", "skipped", "took"]
    return markdown(head, [row(run) for run in runs])


def features(runs) -> str:
    states = [{row["name"]: row["state"] for row in run.outcome.features["features"]} for run in runs]
    # A target that is newer than iterctl is known only from the kernels that have it.
    since = {row["name"]: row["since"] for run in runs for row in run.outcome.features["features"]}
    rows = [
        [f"`{name}`", first or "", *(MARKS[state.get(name, "absent")] for state in states)]
        for name, first in since.items()
    ]
    return markdown(["feature", "since Linux", *(run.title for run in runs)], rows)


def reasons(runs) -> list[tuple[str, list[str]]]:
    """The reasons why tests were skipped, and the tests."""
    found = {(run_reason, test) for run in runs for test, run_reason in skipped(run)}
    by_reason = groupby(sorted(found), key=lambda pair: pair[0])
    return [(reason, [test for _, test in pairs]) for reason, pairs in by_reason]


def skipped(run) -> list[tuple[str, str]]:
    return [(test, run.outcome.results[test].reason) for test in run.outcome.ended("skipped")]


def skips(runs) -> list[str]:
    rows = []
    for reason, tests in reasons(runs):
        on = [run.title for run in runs if reason in {why for _, why in skipped(run)}]
        names = ", ".join(f"`{short(test)}`" for test in tests)
        rows.append([reason, ", ".join(on), names])
    return ["## Skipped tests\n", markdown(["reason", "kernels", "tests"], rows)] if rows else []


def short(test: str) -> str:
    return test.removeprefix("kernel::")


def modules(runs) -> str:
    """The number of passed tests of each module."""

    def module(test):
        return short(test).rpartition("::")[0]

    def cell(run, name):
        ended = Counter(result.ended for test, result in run.outcome.results.items() if module(test) == name)
        if not ended:
            return ""
        skipped = f", {ended['skipped']} skipped" if ended["skipped"] else ""
        return f"{ended['passed']}{skipped}"

    names = sorted({module(test) for run in runs for test in run.outcome.results})
    rows = [[f"`{name}`", *(cell(run, name) for run in runs)] for name in names]
    return "## Passed tests\n\n" + markdown(["module", *(run.title for run in runs)], rows)
