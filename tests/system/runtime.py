"""A minimal container runtime: crun runs a container in namespaces of its own, with the capabilities, the seccomp
profile and the mounts that a pod asks for.

It is an error if the container uses a setting that is not implemented here, because it would not be tested.
"""

import json
import platform
import shutil
import subprocess
import time
from pathlib import Path

from sandbox import LONGEST_SECONDS

# The profile `RuntimeDefault` of CRI-O and Podman, from Debian's golang-github-containers-common.
RUNTIME_DEFAULT = Path("/usr/share/containers/seccomp.json")

# The paths that the runtimes use for every container that is not privileged.
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {
        "destination": "/sys",
        "type": "sysfs",
        "source": "sysfs",
        "options": ["nosuid", "noexec", "nodev", "ro"],
    },
]
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
NAMESPACES = ["pid", "mount", "network", "ipc", "uts"]
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Settings for the kubelet, or for the runtime before and after the run: none of them confines the
# container.
NOT_FOR_CONTAINERS = {"name", "image", "volumeMounts", "resources", "livenessProbe", "readinessProbe"}

# It ends when its standard input ends, as it does when the tests die, and ends the container too.
RUN = """
{ crun --root "$1" --cgroup-manager=disabled run --bundle "$2" it < /dev/null; echo $? > "$2/status"; } &
cat
crun --root "$1" delete --force it
wait
"""


def make_image(folder, programs, files=()):
    """A root file system: programs of this machine with the libraries that they load, and (source, folder)
    pairs.
    """
    for program in programs:
        source = shutil.which(program)
        assert source, f"{program} is missing"
        _copy(source, folder / "usr/bin")
        words = subprocess.run(["ldd", source], check=True, capture_output=True, text=True).stdout.split()
        for library in (Path(word) for word in words if word.startswith("/")):
            _copy(library, folder / library.parent.relative_to("/"))
    for source, to in files:
        _copy(source, folder / to)
    return folder


def _copy(source, folder):
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, folder)


class Container:
    """A container that runs in a folder of its own."""

    def __init__(self, node, folder, wanted, of_pod, mounts, image):
        assert not wanted.keys() - NOT_FOR_CONTAINERS - {"command", "securityContext"}, wanted.keys()
        self._node, self._folder = node, folder
        self._root = folder / "crun"
        folder.mkdir()
        # The runtime makes a layer for the container's writes, and in it the directories to mount on.
        shutil.copytree(image, folder / "rootfs")
        config = _config(wanted["command"], of_pod | wanted["securityContext"], mounts)
        (folder / "config.json").write_text(json.dumps(config, indent=1))
        with (folder / "log").open("wb") as log:
            self._process = node.start(
                *["setpriv", "--pdeathsig=clear", "sh", "-c", RUN, "sh", self._root, folder],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self):
        """Its first process, as the node numbers it."""
        state = self._crun("state", "it").stdout
        return json.loads(state)["pid"]

    def execute(self, *command):
        """Runs a command in it. Returns the command's status."""
        return self._crun("exec", "it", *command, status=None).status

    def kill(self, signal):
        self._crun("kill", "it", signal)

    def log(self):
        """The output of the container and of crun."""
        return (self._folder / "log").read_text()

    def wait(self):
        """Waits for its end. Returns its status."""
        status = self._folder / "status"
        self.wait_until(lambda: status.exists() and status.read_text().endswith("\n"))
        return int(status.read_text())

    def wait_until(self, condition):
        """Waits until a condition holds that this container will bring about."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"it never came: {self.log()}"
            time.sleep(0.02)

    def _crun(self, *arguments, **run):
        return self._node.run("crun", "--root", self._root, "--cgroup-manager=disabled", *arguments, **run)

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=LONGEST_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _config(command, security, mounts):
    known = {"runAsUser", "runAsGroup", "seccompProfile", "readOnlyRootFilesystem", "capabilities"}
    assert not security.keys() - known - {"allowPrivilegeEscalation"}, security.keys()
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["capabilities"]["drop"] == ["ALL"]
    capabilities = [f"CAP_{name}" for name in security["capabilities"].get("add", [])]
    return {
        "ociVersion": "1.0.0",
        "process": {
            "args": command,
            "cwd": "/",
            "env": [PATH],
            "user": {"uid": security["runAsUser"], "gid": security["runAsGroup"]},
            "capabilities": {kind: capabilities for kind in ("bounding", "effective", "permitted")},
            "noNewPrivileges": not security.get("allowPrivilegeEscalation", True),
        },
        "root": {"path": "rootfs", "readonly": security["readOnlyRootFilesystem"]},
        "mounts": MOUNTS + mounts,
        "linux": {
            "namespaces": [{"type": kind} for kind in NAMESPACES],
            # The same as for every pod that has a mount with the propagation HostToContainer.
            "rootfsPropagation": "rslave",
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "seccomp": _seccomp(capabilities),
        },
    }


def _seccomp(capabilities):
    """The default profile for a container with these capabilities, in the runtime's form."""
    profile = json.loads(RUNTIME_DEFAULT.read_text())
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]

    def is_meant(rule):
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        return (
            machine in includes.get("arches", [machine])
            and machine not in excludes.get("arches", [])
            and set(includes.get("caps", [])) <= set(capabilities)
            and not set(excludes.get("caps", [])) & set(capabilities)
        )

    keys = ("names", "action", "errnoRet", "args")
    rules = [rule for rule in profile["syscalls"] if is_meant(rule)]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "syscalls": [{key: rule[key] for key in keys if rule.get(key)} for rule in rules],
    }
