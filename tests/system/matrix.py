"""The tests on the real kernel, on Debian's kernels: each boots with them in its initramfs; `make test-kernels`."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from initramfs import Initramfs
from kernels import Kernel, fetch
from vm import Machine

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "target/system-cache"
INIT = Path(__file__).parent / "guest/tests-init.sh"
SUITES = ["bullseye-security", "bookworm", "trixie", "trixie-backports"]
LONGEST_SECONDS = int(os.environ.get("ITERCTL_KERNEL_SECONDS", "600"))

# What the tests run. Busybox has the rest; of these it has other ones, or none.
PROGRAMS = [
    *["bash", "bpftool", "cat", "cp", "dash", "find", "mkfifo", "nsenter", "prlimit", "rm", "setpriv", "sh"],
    *["sleep", "stat", "strace", "taskset", "timeout", "unshare"],
]

ACCOUNTS = [Path("/etc/passwd"), Path("/etc/group"), Path("/etc/nsswitch.conf")]

RESULT = re.compile(r"test (\S+) \.\.\. (ok|FAILED|ignored)")


def build() -> tuple[Path, Path]:
    """The test binary and the program that it tests, without what a debugger needs."""
    command = [
        "cargo",
        "test",
        "--locked",
        "--no-run",
        "--release",
        "--test",
        "kernel",
        "--message-format=json",
    ]
    built = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout
    artifacts = [json.loads(line) for line in built.splitlines()]
    binaries = {a["target"]["name"]: Path(a["executable"]) for a in artifacts if a.get("executable")}
    return binaries["kernel"], binaries["iterctl"]


def pack(folder: Path, tests: Path, iterctl: Path, arguments: list[str]) -> Path:
    initramfs = Initramfs(folder / "initramfs", INIT)
    for program, path in [(tests, "tests"), (iterctl, str(iterctl).lstrip("/"))]:
        stripped = folder / program.name
        subprocess.run(["strip", "-o", stripped, program], check=True)
        initramfs.add_program(stripped, path)
    for program in PROGRAMS:
        initramfs.add_program(program)
    # The tests look for the objects, and for their sources, where they were built.
    for file in [*ROOT.glob("tests/objects/*.bpf.[co]"), *ACCOUNTS]:
        initramfs.add(file, str(file).lstrip("/"))
    initramfs.write("arguments", " ".join(arguments))
    return initramfs.pack(folder / "initramfs.cpio")


def run(kernel: Kernel, initramfs: Path, folder: Path) -> tuple[dict[str, str], str]:
    """How each test ended, and all that was said."""
    said, results = [], {}
    deadline = time.monotonic() + LONGEST_SECONDS
    with Machine(kernel, initramfs, folder, memory=1024, cpus=2) as machine:
        try:
            while line := machine.line(deadline):
                said.append(line)
                if found := RESULT.match(line):
                    results[found[1]] = found[2]
        except AssertionError as error:
            said.append(str(error))
        said.append(machine.console())
    return results, "".join(said)


def main() -> int:
    arguments = sys.argv[2:] or ["--include-ignored"]
    suites = sys.argv[1].split(",") if len(sys.argv) > 1 else SUITES
    failed = 0
    with TemporaryDirectory(prefix="iterctl-kernels-") as name:
        folder = Path(name)
        image = pack(folder, *build(), arguments)
        for suite in suites:
            kernel = fetch(suite, CACHE)
            began = time.monotonic()
            results, said = run(kernel, image, folder)
            log = CACHE / f"kernels-{suite}.log"
            log.write_text(said)
            bad = sorted(test for test, result in results.items() if result == "FAILED")
            is_over = "test result: " in said
            seconds = time.monotonic() - began
            print(
                f"{kernel.release}: {len(results) - len(bad)} ok, {len(bad)} failed, {seconds:.0f} s, {log}"
            )
            print("".join(f"  {test}\n" for test in bad), end="", flush=True)
            if not is_over:
                print("  it did not come to its end")
            failed += bool(bad) or not is_over
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
