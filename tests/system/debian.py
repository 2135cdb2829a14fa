"""Packages of Debian's suites, independent of the machine's suite, from the mirror in the machine's apt
sources.
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHITECTURE = "amd64"


def mirror(suite: str) -> str:
    """The archive that has the suite; security suites are in a separate one."""
    label = "Debian-Security" if suite.endswith("-security") else "Debian"
    targets = _run("apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    for line in targets.splitlines():
        found, _, uri = line.partition("|")
        if found == label:
            return uri
    raise LookupError(f"no apt source with the label {label}: add Debian's, then `apt-get update`")


def source(suite: str) -> str:
    """The suite as a line of sources.list; only its package lists are fetched."""
    options = f"arch={ARCHITECTURE} lang=none target=Packages signed-by={KEYRING}"
    return f"deb [{options}] {mirror(suite)} {suite} main"


class Apt:
    """An apt whose state is a folder and whose only source is one suite."""

    def __init__(self, suite: str, folder: Path):
        self.suite = suite
        self._folder = folder.resolve()
        for name in ["lists/partial", "cache/archives/partial"]:
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "sources.list").write_text(source(suite) + "\n")
        self._config = self._folder / "apt.conf"
        self._config.write_text(
            f'Dir::State "{self._folder}"; Dir::State::status "{self._folder}/status";\n'
            f'Dir::State::lists "{self._folder}/lists"; Dir::Cache "{self._folder}/cache";\n'
            f'Dir::Etc::sourcelist "{self._folder}/sources.list"; Dir::Etc::sourceparts "/dev/null";\n'
            'Dir::Etc::preferencesparts "/dev/null"; Dir::Etc::preferences "/dev/null";\n'
            f'APT::Architecture "{ARCHITECTURE}"; APT::Architectures {{ "{ARCHITECTURE}"; }};\n'
            # These settings are about the machine's own state.
            "#clear APT::Update;\n"
            # Without this, apt downloads as a user who may not write here.
            'APT::Sandbox::User "root";\n'
        )

    def update(self) -> None:
        self._run("apt-get", "update", "--error-on=any")

    def depends(self, package: str) -> list[str]:
        """The direct dependencies of this package."""
        lines = self._run("apt-cache", "depends", "--important", package).splitlines()
        return [line.partition("Depends: ")[2] for line in lines if "Depends: " in line]

    def version(self, package: str) -> str:
        shown = self._run("apt-cache", "show", "--no-all-versions", package).splitlines()
        return next(line.partition(": ")[2] for line in shown if line.startswith("Version: "))

    def unpack(self, packages: list[str], root: Path) -> None:
        """Fetches the packages and unpacks them; apt checks them against the checksums of the signed index."""
        root.mkdir(parents=True)
        with TemporaryDirectory(dir=self._folder) as downloads:
            self._run("apt-get", "download", *packages, folder=Path(downloads))
            for package in Path(downloads).iterdir():
                _run("dpkg-deb", "--extract", str(package), str(root))

    def _run(self, program: str, *arguments: str, folder: Path | None = None) -> str:
        return _run(program, f"--config-file={self._config}", *arguments, folder=folder)


def _run(*command: str, folder: Path | None = None) -> str:
    run = subprocess.run(command, check=False, cwd=folder, text=True, capture_output=True)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {run.returncode}:\n{run.stderr}")
    return run.stdout
