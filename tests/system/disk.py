"""Disks for virtual machines: a Debian with systemd, and what a test puts there."""

import shutil
import subprocess
from pathlib import Path

import debian

PACKAGES = ["bpftool", "libkmod2", "systemd-sysv"]
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*"]
SIZE = "512M"


class Disk:
    """A root in a folder that can be thrown away after `pack`."""

    def __init__(self, suite: str, cache: Path, folder: Path):
        self.root = folder
        folder.mkdir()
        _run("tar", "--extract", "--numeric-owner", "--file", _base(suite, cache), "--directory", folder)
        # An empty one, as mmdebstrap leaves it, means a first boot, which enables units by their presets.
        self.write("/etc/machine-id", f"{1:032x}\n")
        self.write("/etc/hostname", "guest\n")
        # Its root is mounted before systemd starts.
        self.write("/etc/fstab", "")

    def add(self, source: Path, path: str) -> None:
        """A copy of a file, executable if that is."""
        self._parent(path)
        shutil.copy(source, self.root / path.lstrip("/"))

    def write(self, path: str, text: str) -> None:
        self._parent(path)
        (self.root / path.lstrip("/")).write_text(text)

    def run(self, *command: str) -> None:
        """Runs one of the root's own programs."""
        _run("chroot", self.root, *command)

    def pack(self, path: Path) -> Path:
        # mkfs.ext4 is in a folder that is on root's PATH alone.
        _run("/usr/sbin/mke2fs", "-q", "-t", "ext4", "-d", self.root, path, SIZE)
        return path

    def _parent(self, path: str) -> None:
        (self.root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)


def _base(suite: str, cache: Path) -> Path:
    """The suite as a tar archive, made anew when it has another systemd."""
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
