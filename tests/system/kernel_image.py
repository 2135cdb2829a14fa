"""The test binary of tests/kernel.rs and everything that it needs → an initramfs in which it runs."""

import json
import os
import platform
import subprocess
from pathlib import Path

from initramfs import Initramfs

ROOT = Path(__file__).resolve().parents[2]
INIT = Path(__file__).parent / "guest/tests-init.sh"

# The programs that the tests run. Busybox provides all others; these it lacks, or has in another form.
PROGRAMS = [
    *["bash", "bpftool", "cat", "cp", "dash", "find", "mkfifo", "nsenter", "prlimit", "rm", "setpriv", "sh"],
    *["sleep", "stat", "strace", "taskset", "timeout", "unshare"],
]

ACCOUNTS = [Path("/etc/passwd"), Path("/etc/group"), Path("/etc/nsswitch.conf")]


class Tests:
    """The test binary, and the program that it tests."""

    def __init__(self):
        """Builds them, or finds them built.

        They are linked statically: with an emulated processor, dynamic linking at each start takes at least five
        times as long as everything that the program does then.
        """
        command = [
            "cargo",
            "test",
            "--locked",
            "--no-run",
            "--release",
            "--test=kernel",
            "--message-format=json",
        ]
        # With a target, the flags do not apply to programs that run during the build.
        command += [f"--target={platform.machine()}-unknown-linux-gnu", "--target-dir=target/kernels"]
        flags = "-C target-feature=+crt-static -C relocation-model=static"
        # Without link-time optimization the build is faster, and the tests take the same time.
        quickly = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16"}
        env = {**os.environ, "RUSTFLAGS": flags, **quickly}
        built = subprocess.run(
            command, cwd=ROOT, env=env, check=True, text=True, stdout=subprocess.PIPE
        ).stdout
        artifacts = [json.loads(line) for line in built.splitlines()]
        programs = {a["target"]["name"]: Path(a["executable"]) for a in artifacts if a.get("executable")}
        self._binary, self._iterctl = programs["kernel"], programs["iterctl"]

    def names(self, arguments: list[str]) -> set[str]:
        """The names of the tests that it runs with these arguments."""
        listed = subprocess.run(
            [self._binary, "--list", "--format=terse", *arguments],
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        )
        return {line.removesuffix(": test") for line in listed.stdout.splitlines() if line.endswith(": test")}

    def pack(self, folder: Path) -> Path:
        """An initramfs that runs them with the arguments of its init."""
        initramfs = Initramfs(folder / "initramfs", INIT)
        # The tests look for the program, for the objects and for their sources at the paths of the build.
        for program, path in [(self._binary, "tests"), (self._iterctl, str(self._iterctl).lstrip("/"))]:
            stripped = folder / program.name
            subprocess.run(["strip", "-o", stripped, program], check=True)
            initramfs.add_program(stripped, path)
        initramfs.link("iterctl", self._iterctl)
        for program in PROGRAMS:
            initramfs.add_program(program)
        examples = ROOT.glob("examples/*/*.bpf.[co]")
        for file in [*ROOT.glob("tests/objects/*.bpf.[co]"), *examples, *ACCOUNTS]:
            initramfs.add(file, str(file).lstrip("/"))
        return initramfs.pack(folder / "initramfs.cpio")
