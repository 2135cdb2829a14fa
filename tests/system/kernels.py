"""Debian's kernels for virtual machines, all of which have BTF."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from debian import Apt

META_PACKAGE = "linux-image-cloud-amd64"


@dataclass(frozen=True)
class Kernel:
    suite: str
    release: str
    image: Path
    modules: Path
    """The folder `lib/modules/RELEASE` of the kernel, with the files that depmod writes."""

    @property
    def version(self) -> tuple[int, int]:
        major, minor = self.release.split(".")[:2]
        return int(major), int(minor)

    def modules_for(self, name: str) -> list[Path]:
        """The files of a module in the order of loading: dependencies come first. None if the module is
        built in.
        """
        if f"/{name}.ko\n" in (self.modules / "modules.builtin").read_text():
            return []
        for line in (self.modules / "modules.dep").read_text().splitlines():
            path, _, needs = line.partition(":")
            if Path(path).name.partition(".")[0] == name:
                return [self.modules / file for file in [*reversed(needs.split()), path]]
        raise LookupError(f"Linux {self.release} has no module {name}")


def fetch(suite: str, cache: Path) -> Kernel:
    """The suite's newest kernel, unpacked in the cache, and downloaded unless it is there."""
    apt = Apt(suite, cache / "apt" / suite)
    apt.update()
    (image,) = [name for name in apt.depends(META_PACKAGE) if name.startswith("linux-image-")]
    release = image.removeprefix("linux-image-")
    root = cache / "kernels" / f"{release}_{apt.version(image)}"
    if not root.exists():
        # Since Linux 7, Debian's kernel and its modules are packages on which the image's package depends.
        parts = [name for name in apt.depends(image) if name.endswith(f"-{release}")]
        partial = root.with_name(f"{root.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        apt.unpack([image, *parts], partial)
        subprocess.run(["depmod", "--basedir", _modules(partial).parents[2], release], check=True)
        partial.rename(root)
    return Kernel(suite, release, next(root.glob("**/vmlinuz*")), _modules(root))


def _modules(root: Path) -> Path:
    # Debian 13 has them below /usr.
    (found,) = root.glob("**/lib/modules/*/")
    return found
