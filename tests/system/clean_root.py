"""A small Debian root of the machine's own suite, to install packages into."""

import platform
import subprocess

from debian import source
from sandbox import ROOT, Namespaces

CACHE = ROOT / "target/system-cache/roots"
# apt itself needs less: this also includes units, and the programs that use man pages and completions.
PACKAGES = ["bash-completion", "fish", "man-db", "systemd", "zsh"]
ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}
# Paths that belong to the kernel, and paths that apt, dpkg, rpm and man-db change for any package.
NOT_LOOKED_AT = ["/dev", "/proc", "/sys", "/run", "/tmp", "/var/cache", "/var/log"]
NOT_LOOKED_AT += ["/var/lib/apt", "/var/lib/dpkg", "/var/lib/rpm"]


class CleanRoot(Namespaces):
    """A root whose changes are discarded with it, in namespaces with a bpffs of their own. Commands run
    inside.
    """

    def __init__(self, folder):
        base = _base()
        self._root, upper, work = (folder / name for name in ("root", "upper", "work"))
        for directory in (self._root, upper, work):
            directory.mkdir()
        options = f"lowerdir={base},upperdir={upper},workdir={work}"
        super().__init__(
            setup=[
                f"mount -t overlay -o {options} overlay {self._root}",
                f"mount -t proc proc {self._root}/proc",
                *(f"mount --rbind {shared} {self._root}{shared}" for shared in ("/dev", "/sys")),
            ]
        )

    def run(self, *command, env=None, **run):
        return super().run("chroot", self._root, *command, env={**ENVIRONMENT, **(env or {})}, **run)

    def run_outside(self, *command, **run):
        """Runs a program of the machine in the namespaces; the root is at `inside("/")`."""
        return super().run(*command, **run)

    def inside(self, path):
        """A path of the root, as programs outside the root name it."""
        return self._root / path.lstrip("/")

    def copy(self, file, path):
        """Copies a file of the machine into the root, and makes the folders that it needs."""
        self.run_outside("install", "-D", "--mode=644", file, self.inside(path))

    def files(self):
        """All files that packages have installed."""
        left_out = " -o ".join(f"-path {path}" for path in NOT_LOOKED_AT).split()
        found = self.run("find", "/", "(", *left_out, ")", "-prune", "-o", "-print")
        return set(found.stdout.splitlines())

    def packages(self):
        listed = self.run("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n")
        return set(listed.stdout.splitlines())


def _base():
    """The root before any test has changed it: made once, then kept."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    base = CACHE / "-".join([suite, *PACKAGES])
    if not base.exists():
        partial = base.with_name(f"{base.name}.partial")
        subprocess.run(["rm", "--recursive", "--force", partial], check=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        include = f"--include={','.join(PACKAGES)}"
        mmdebstrap = ["mmdebstrap", "--quiet", "--variant=minbase", include, suite, partial, source(suite)]
        done = subprocess.run(mmdebstrap, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"no clean root: {done.stderr}"
        partial.rename(base)
    return base
