"""The first root of a virtual machine: a folder of files, packed in the kernel's format."""

import lzma
import os
import shutil
import subprocess
from pathlib import Path

from kernels import Kernel

BUSYBOX = Path("/bin/busybox")
SEARCH = "/usr/bin:/usr/sbin:/bin:/sbin"


class Initramfs:
    """Contains busybox, /init, and all added files, in a folder that is no longer needed after `pack`."""

    def __init__(self, folder: Path, init: Path):
        self._root = folder
        for directory in ["dev", "proc", "sys", "tmp", "modules"]:
            (self._root / directory).mkdir(parents=True)
        self.add(BUSYBOX, "bin/busybox")
        self.add(init, "init")

    def add(self, source: Path, path: str) -> None:
        """Copies a file; the copy is executable if the file is."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)

    def add_program(self, program: str | Path, path: str | None = None) -> None:
        """Copies a program of this machine with the libraries that it is linked with, to the same path or
        to this one.
        """
        found = shutil.which(program, path=SEARCH)
        assert found, f"there is no {program} here"
        self.add(Path(found), path or found.lstrip("/"))
        linked = subprocess.run(["ldd", found], check=False, text=True, capture_output=True).stdout
        for line in linked.splitlines():
            for library in [word for word in line.split() if word.startswith("/")]:
                self.add(Path(library), library.lstrip("/"))

    def link(self, path: str, target: Path) -> None:
        """Adds a symbolic link."""
        (self._root / path).symlink_to(target)

    def write(self, path: str, text: str) -> None:
        (self._root / path).write_text(text)

    def add_modules(self, kernel: Kernel, *names: str) -> None:
        """Adds kernel modules and their dependencies: /modules/00, /modules/01, … in the order of loading."""
        order: list[Path] = []
        for name in names:
            order += [path for path in kernel.modules_for(name) if path not in order]
        for number, path in enumerate(order):
            unpack = lzma.open if path.suffix == ".xz" else open
            with unpack(path, "rb") as module:
                (self._root / f"modules/{number:02}").write_bytes(module.read())

    def pack(self, path: Path) -> Path:
        found = (f"{os.path.relpath(file, self._root)}\0" for file in sorted(self._root.rglob("*")))
        cpio = ["cpio", "--create", "--null", "--format=newc", "--owner=+0:+0", "--quiet"]
        with path.open("wb") as archive:
            subprocess.run(cpio, cwd=self._root, input="".join(found).encode(), stdout=archive, check=True)
        return path
