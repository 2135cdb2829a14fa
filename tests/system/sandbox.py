"""Separate namespaces for tests, with a bpffs at /sys/fs/bpf, so that the machine's own is never touched."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ITERCTL = Path(os.environ.get("ITERCTL", ROOT / "target/release/iterctl"))
VENV = ROOT / "target/system-venv"
OBJECTS = ROOT / "tests/objects"
BPFFS = Path("/sys/fs/bpf")

# Much longer than any command here takes, so that a command that hangs fails its test.
LONGEST_SECONDS = 120


@dataclass
class Ended:
    """The status and the output of a command."""

    command: str
    status: int
    stdout: str
    stderr: str

    def __str__(self):
        return (
            f"`{self.command}` ended with {self.status}\n"
            f"--- stdout\n{self.stdout}--- stderr\n{self.stderr}---"
        )


class Namespaces:
    """A mount namespace with an empty bpffs at /sys/fs/bpf; with `net`, a network namespace too.

    A process that waits for the end of its standard input keeps them alive. So they end with the test, however
    the test ends, and so does every mount and network interface in them.
    """

    def __init__(self, *, net=False, setup=()):
        assert os.geteuid() == 0, "not root, so this cannot be tested: run `make test-system`"
        assert ITERCTL.is_file(), f"{ITERCTL} is missing: run `make static`"
        unshare = ["unshare", "--mount", "--propagation", "private", *(["--net"] if net else [])]
        steps = ["mount -t bpf bpf /sys/fs/bpf", *setup, "echo ready", "exec cat"]
        self._keeper = subprocess.Popen(
            [*unshare, "sh", "-c", " && ".join(steps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._keeper.stdout.readline() != "ready\n":
            self.close()
            raise AssertionError("the namespaces cannot be made: see what `unshare` and `mount` say above")
        self._enter = ["nsenter", f"--target={self.pid}", "--mount", *(["--net"] if net else [])]

    @property
    def pid(self):
        """Runs a process in the namespaces."""
        return self._keeper.pid

    def run(self, *command, status=0, stdin="", env=None, cwd="/"):
        """Runs a command in the namespaces; it must end with this status, or with any status if that is
        None.
        """
        arguments = self._arguments(command, env, cwd)
        done = subprocess.run(
            arguments, check=False, input=stdin, capture_output=True, text=True, timeout=LONGEST_SECONDS
        )
        ended = Ended(" ".join(map(str, command)), done.returncode, done.stdout, done.stderr)
        assert status is None or ended.status == status, f"expected {status}: {ended}"
        return ended

    def start(self, *command, env=None, cwd="/", **popen):
        """Starts a command in the namespaces; it is killed when the tests die."""
        arguments = self._arguments(command, env, cwd, "setpriv", "--pdeathsig=KILL")
        return subprocess.Popen(arguments, text=True, **popen)

    def iterctl(self, *arguments, **run):
        """Runs iterctl in the namespaces."""
        return self.run(ITERCTL, *arguments, **run)

    def pins(self, folder=BPFFS):
        """The paths of all pins below a folder of the bpffs, sorted."""
        find = self.run("find", folder, "-type", "f", "-not", "-name", "*.*", "-printf", "%P\n")
        return sorted(find.stdout.split())

    def close(self):
        self._keeper.stdin.close()
        self._keeper.wait(timeout=LONGEST_SECONDS)
        self._keeper.stdout.close()

    def _arguments(self, command, env, cwd, *before):
        given = [f"{name}={value}" for name, value in (env or {}).items()]
        path = f"PATH={ITERCTL.parent}:{os.environ['PATH']}"
        return [*self._enter, "--", *before, "env", f"--chdir={cwd}", path, *given, *map(str, command)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Sandbox(Namespaces):
    """Namespaces and a folder, in which every command is run."""

    def __init__(self, folder, **namespaces):
        super().__init__(**namespaces)
        self.folder = folder

    def run(self, *command, cwd=None, **run):
        return super().run(*command, cwd=cwd or self.folder, **run)

    def write(self, name, text):
        """Writes a file of the folder, and the folders that it needs."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def copy_object(self, name, to=None):
        """Puts an object of tests/objects into the folder; it may replace another one."""
        source = OBJECTS / name
        assert source.is_file(), f"{source} is missing: run `make objects`"
        target = self.folder / (to or name)
        target.write_bytes(source.read_bytes())
        return target
