"""The units of packaging/systemd, as far as they can be checked without booting: test_boot runs them."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from sandbox import ITERCTL, LONGEST_SECONDS, ROOT, Namespaces

UNITS = [ROOT / "packaging/systemd" / name for name in ("iterctl.service", "iterctl-watch.service")]

# systemd before 253 prints this about the unknown type, and continues with the previous one.
UNKNOWN_TYPE = "Failed to parse service type, ignoring: notify-reload"

# Out of ten: the rest is root, CAP_SYS_ADMIN and the host's file systems, which bpffs needs.
HIGHEST_EXPOSURE = 2.8


@pytest.fixture(params=UNITS, ids=lambda unit: unit.name)
def unit(request):
    return request.param


def run(*command):
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def systemd_version():
    return int(run("systemctl", "--version").stdout.split()[1])


def test_systemd_finds_nothing_wrong(unit, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/iterctl").symlink_to(ITERCTL)
    run(ITERCTL, "man", "--dir", tmp_path / "man/man1")
    (tmp_path / "man/man5").mkdir()
    (tmp_path / "man/man5/iterctl.toml.5").write_text(run(ITERCTL, "man", "iterctl.toml").stdout)
    overlay = f"mount -t overlay -o lowerdir={tmp_path}/bin:/usr/bin overlay /usr/bin"
    with Namespaces(setup=[overlay]) as installed:
        verified = installed.run("systemd-analyze", "verify", unit, env={"MANPATH": tmp_path / "man"})
    said = (verified.stdout + verified.stderr).splitlines()
    if systemd_version() < 253:
        said = [line for line in said if not line.endswith(UNKNOWN_TYPE)]
    assert said == []


def test_it_is_hardened(unit):
    threshold = f"--threshold={HIGHEST_EXPOSURE * 10:.0f}"
    run("systemd-analyze", "security", "--no-pager", "--offline=true", threshold, unit)


def test_no_setting_takes_away_what_it_needs(unit):
    settings = dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line)
    for takes_it in ("ProtectKernelTunables", "PrivateBPF", "ProcSubset", "RestrictSUIDSGID", "DynamicUser"):
        assert takes_it not in settings


# The manifest has every parameter, a mode and a group.
MANIFEST = """
set = "observe"
[defaults]
mode = "0444"
group = "daemon"
dir-mode = "0755"
[[iter]]
obj = "../tasks_v1.bpf.o"
path = "observe/tasks"
[[iter]]
obj = "../tasks_v1.bpf.o"
path = "observe/one"
task = { pid = 1 }
[[iter]]
obj = "../target_cgroup.bpf.o"
path = "observe/cgroups"
cgroup = { path = "CGROUP", order = "descendants-pre" }
[[iter]]
obj = "../own_map.bpf.o"
path = "observe/elements"
map = { own = "own_elems" }
"""


def test_it_has_what_it_needs(unit, sandbox):
    """A unit's whole work succeeds with its capabilities; every system call is allowed by its filter."""
    for name in ("tasks_v1.bpf.o", "target_cgroup.bpf.o", "own_map.bpf.o"):
        sandbox.copy_object(name)
    cgroup = sandbox.folder / "cgroup"
    cgroup.mkdir()
    sandbox.run("mount", "-t", "cgroup2", "cgroup2", cgroup)
    sandbox.write("iters.d/observe.toml", MANIFEST.replace("CGROUP", str(cgroup)))
    settings = settings_of(unit)
    capabilities = [name.removeprefix("CAP_").lower() for name in settings["CapabilityBoundingSet"]]
    bounded = "-all," + ",".join(f"+{name}" for name in capabilities)
    confined = ["setpriv", "--no-new-privs", f"--bounding-set={bounded}", f"--inh-caps={bounded}"]
    traced = [*confined, "strace", "-f", "--summary-only", "--output=calls"]

    if "watch" in settings["ExecStart"]:
        watch(sandbox, traced, arguments(settings))
    else:
        sandbox.run(*traced, ITERCTL, *arguments(settings))
    calls = {line.split()[-1] for line in (sandbox.folder / "calls").read_text().splitlines()[2:-2]}
    assert "bpf" in calls and calls <= allowed(settings["SystemCallFilter"])
    assert sandbox.pins() == ["observe/cgroups", "observe/elements", "observe/one", "observe/tasks"]


def watch(sandbox, traced, arguments):
    """Runs `watch` until it is ready, then reloads it and stops it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(LONGEST_SECONDS)
        notify.bind(str(sandbox.folder / "notify"))
        environment = {"NOTIFY_SOCKET": sandbox.folder / "notify"}
        tracer = sandbox.start(*traced, ITERCTL, *arguments, env=environment, cwd=sandbox.folder)
        wait_for(notify, "READY=1")
        children = Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text()
        os.kill(int(children), signal.SIGHUP)
        wait_for(notify, "RELOADING=1")
        wait_for(notify, "READY=1")
        os.kill(int(children), signal.SIGTERM)
        wait_for(notify, "STOPPING=1")
        assert tracer.wait(LONGEST_SECONDS) == 0


def wait_for(notify, line):
    while line not in notify.recv(4096).decode().splitlines():
        pass


def settings_of(unit):
    """The words of every setting; settings that occur several times are joined."""
    settings = {}
    for line in unit.read_text().splitlines():
        key, is_setting, value = line.partition("=")
        if is_setting:
            settings.setdefault(key, []).extend(value.split())
    return settings


def arguments(settings):
    """The command that the unit starts, for the test's own manifests."""
    program, *words = settings["ExecStart"]
    assert program == "/usr/bin/iterctl"
    return ["iters.d" if word == "/etc/iterctl.d" else word for word in words]


def allowed(filter_words):
    """Every system call of a filter, with its groups resolved."""
    calls = set()
    for word in filter_words:
        if word.startswith("@"):
            said = run("systemd-analyze", "--no-pager", "syscall-filter", word).stdout.splitlines()
            members = [line.strip() for line in said if line.startswith("    ")]
            calls |= allowed(member for member in members if not member.startswith("#"))
        else:
            calls.add(word)
    return calls
