"""Disks for virtual machines: a Debian with systemd, and the files of a test."""

import shutil
import subprocess
from pathlib import Path

import debian

PACKAGES = ["bpftool", "libkmod2", "systemd-sysv"]
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*"]
SIZE = "512M"


class Disk:
    """A root in a folder that is no longer needed after `pack`."""

    def __init__(self, suite: str, cache: Path, folder: Path):
        self.root = folder
        folder.mkdir()
        _run("tar", "--extract", "--numeric-owner", "--file", _base(suite, cache), "--directory", folder)
        # If it is empty, as mmdebstrap leaves it, this is a first boot, which enables units by their
        # presets.
        self.write("/etc/machine-id", f"{1:032x}\n")
        self.write("/etc/hostname", "guest\n")
        # The root is mounted before systemd starts.
        self.write("/etc/fstab", "")

    def add(self, source: Path, path: str) -> None:
        """Copies a file; the copy is executable if the file is."""
        self._parent(path)
        shutil.copy(source, self.root / path.lstrip("/"))

    def write(self, path: str, text: str) -> None:
        self._parent(path)
        (self.root / path.lstrip("/")).write_text(text)

    def run(self, *command: str) -> None:
        """Runs a program of the root."""
        _run("chroot", self.root, *command)

    def pack(self, path: Path) -> Path:
        # mkfs.ext4 is in a folder that is only on root's PATH.
        _run("/usr/sbin/mke2fs", "-q", "-t", "ext4", "-d", self.root, path, SIZE)
        return path

    def _parent(self, path: str) -> None:
        (self.root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)


def _base(suite: str, cache: Path) -> Path:
    """The suite as a tar archive, created again when the suite has another systemd."""
    apt = debian.Apt(suite, cache / "apt" / suite)
    apt.update()
    versions = "_".join(f"{name}-{apt.version(name)}" for name in PACKAGES)
    path = cache / "roots" / f"{suite}_{versions}.tar"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"partial-{path.name}")
        options = [f"--dpkgopt=path-exclude={left_out}" for left_out in LEFT_OUT]
        include = f"--include={','.join(PACKAGES)}"
        _run(
            "mmdebstrap",
            "--quiet",
            "--variant=essential",
            include,
            *options,
            suite,
            partial,
            debian.source(suite),
        )
        partial.rename(path)
    return path


def _run(*command) -> None:
    run = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, f"{' '.join(map(str, command))} failed with {run.returncode}:\n{run.stdout}"
