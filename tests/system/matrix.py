"""The tests on the real kernel, on Debian's kernels, each in a virtual machine; `make test-kernels`.

Arguments: which suites, joined by commas, and further ones for the test binary, such as a part of tests' names.
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

# The oldest that is supported, those of Debian's releases since, and the newest that Debian has.
SUITES = ["bullseye-security", "bookworm", "trixie", "trixie-backports"]

# What takes minutes where the processor is emulated, and asks more of iterctl than of the kernel.
LEFT_OUT = ["faults::", "kills::", "hostile_races::", "many::", "rivals::", "soak::"]

LONGEST_SECONDS = int(os.environ.get("ITERCTL_KERNEL_SECONDS", "480"))


@dataclass(frozen=True)
class Run:
    """What the tests came to on a kernel."""

    kernel: Kernel
    outcome: Outcome
    seconds: float
    log: Path
    """All that the machine has said."""


def run(kernel: Kernel, initramfs: Path, folder: Path) -> Run:
    began, said = time.monotonic(), []
    folder.mkdir()
    with Machine(kernel, initramfs, folder, memory=1024) as machine:
        try:
            while line := machine.line(began + LONGEST_SECONDS):
                said.append(line)
        except AssertionError as error:
            said.append(f"{error}\n")
        console = machine.console()
    log = CACHE / f"tests-on-{kernel.suite}.log"
    log.write_text("".join([*said, "--- console\n", console]))
    outcome = Outcome("".join(said))
    return Run(kernel, outcome, time.monotonic() - began, log)


def main() -> int:
    suites = sys.argv[1].split(",") if len(sys.argv) > 1 else SUITES
    arguments = [
        "--include-ignored",
        *(word for name in LEFT_OUT for word in ("--skip", name)),
        *sys.argv[2:],
    ]
    tests = Tests()
    expected = tests.names(arguments)
    kernels = [fetch(suite, CACHE) for suite in suites]
    with TemporaryDirectory(prefix="iterctl-kernels-") as name:
        folder = Path(name)
        image = tests.pack(folder, arguments)
        # A processor that is emulated is one of the host's.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = list(pool.map(lambda kernel: run(kernel, image, folder / kernel.suite), kernels))
    print(table(runs))
    faults = 0
    for one in runs:
        for fault in one.outcome.faults(expected):
            print(f"{one.kernel.release}: {fault}; see {one.log}")
            faults += 1
    # The line that ends the output of a test runner.
    every = [result.ended for one in runs for result in one.outcome.results.values()]
    counts = {how: every.count(how) for how in ["passed", "failed", "skipped"]}
    print(", ".join(f"{number} {how}" for how, number in counts.items()))
    if not faults and len(sys.argv) == 1:
        PAGE.write_text(page(runs))
    return 1 if faults or not expected else 0


if __name__ == "__main__":
    sys.exit(main())
