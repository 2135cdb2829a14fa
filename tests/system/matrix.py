"""The tests on the real kernel, on Debian's kernels, each in a virtual machine; `make test-kernels`.

Arguments: of which suites, joined by commas, and further ones for the test binary, such as a part of tests' names.
Without any, all are run, and docs/kernels.md is written.
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

# What takes minutes where the processor is emulated, and asks more of iterctl than of the kernel.
LEFT_OUT = ["faults::", "kills::", "many::", "rivals::", "soak::"]

LONGEST_SECONDS = int(os.environ.get("ITERCTL_KERNEL_SECONDS", "480"))


@dataclass(frozen=True)
class Boot:
    """A kernel of Debian's, and how it is booted."""

    suite: str
    title: str = ""
    """What is special about it."""
    parameters: str = ""
    """What the kernel is told."""
    only: tuple[str, ...] = ()
    """Parts of the names of the tests that are run; all if there are none."""


# The oldest kernel that is supported, those of Debian's releases since, and the newest that Debian has.
BOOTS = [
    Boot("bullseye-security"),
    Boot("bookworm"),
    Boot("trixie"),
    Boot("trixie-backports"),
    Boot("trixie", "locked down", "lockdown=confidentiality", ("lockdown::", "features::", "targets::")),
]


@dataclass(frozen=True)
class Run:
    """What the tests came to on a kernel."""

    boot: Boot
    kernel: Kernel
    outcome: Outcome
    seconds: float
    log: Path
    """All that the machine has said."""

    @property
    def title(self) -> str:
        """Its version, and what is special about it."""
        version = ".".join(str(part) for part in self.kernel.version)
        return f"{version} {self.boot.title}".strip()


def run(boot: Boot, kernel: Kernel, image: Path, arguments: list[str], folder: Path) -> Run:
    began, said, timed = time.monotonic(), [], []
    folder.mkdir()
    # What comes after `--` are arguments of init, which gives them to the tests.
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

        # A processor that is emulated is one of the host's.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(start, enumerate(boots)))
    runs = [one for one, _ in results]
    print(table(runs))
    for one, faults in results:
        for fault in faults:
            print(f"{one.title}: {fault}; see {one.log}")
    # The line that ends the output of a test runner.
    every = [result.ended for one in runs for result in one.outcome.results.values()]
    counts = {how: every.count(how) for how in ["passed", "failed", "skipped"]}
    print(", ".join(f"{number} {how}" for how, number in counts.items()))
    failed = any(faults for _, faults in results) or not every
    if not failed and len(sys.argv) == 1:
        PAGE.write_text(page(runs))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
