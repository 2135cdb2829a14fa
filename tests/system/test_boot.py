"""A real boot: a machine with systemd starts, and the units of packaging/systemd pin; `make test-boot`.

The tests share one machine. Each leaves it in the same state: running, with everything pinned.
"""

import json
from pathlib import Path

import pytest
from disk import Disk
from initramfs import Initramfs
from kernels import fetch
from sandbox import ITERCTL, ROOT
from vm import Guest

CACHE = ROOT / "target/system-cache"
GUEST = Path(__file__).parent / "guest"

# Its systemd supports notify-reload.
SUITE = "trixie"

TASKS = """
[[iter]]
obj = "/usr/lib/iterctl/tasks.bpf.o"
path = "observe/tasks"
"""
# late-map.service pins the map.
ELEMENTS = """
[[iter]]
obj = "/usr/lib/iterctl/map_elements.bpf.o"
path = "observe/elements"
map = { pinned = "late_map" }
"""
MORE = TASKS.replace("observe/tasks", "observe/more")

# The exposure of the units, as systemd-analyze rates them: ten means fully exposed.
HIGHEST_EXPOSURE = 2.8


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    kernel = fetch(SUITE, CACHE)
    initramfs = Initramfs(folder / "initramfs", GUEST / "disk-init.sh")
    initramfs.add_modules(kernel, "virtio_pci", "virtio_blk", "autofs4")
    disk = Disk(SUITE, CACHE, folder / "root")
    install(disk)
    disk.write("/etc/iterctl.d/10-tasks.toml", TASKS)
    disk.write("/etc/iterctl.d/20-elements.toml", ELEMENTS)
    image, root = initramfs.pack(folder / "initramfs.cpio"), disk.pack(folder / "disk")
    with Guest(kernel, image, folder, disk=root) as guest:
        guest.wait_until_up()
        yield guest
        print(guest.console())


def install(disk):
    disk.add(ITERCTL, "/usr/bin/iterctl")
    for unit in ["iterctl.service", "iterctl-watch.service"]:
        disk.add(ROOT / "packaging/systemd" / unit, f"/usr/lib/systemd/system/{unit}")
    for example in ["tasks/tasks.bpf.o", "map-elements/map_elements.bpf.o"]:
        disk.add(ROOT / "examples" / example, f"/usr/lib/iterctl/{Path(example).name}")
    for script in ["agent.sh", "late-map.sh"]:
        disk.add(GUEST / script, f"/opt/test/{script}")
    own = ["agent.service", "late-map.service", "reader.service"]
    for unit in own:
        disk.add(GUEST / unit, f"/etc/systemd/system/{unit}")
    disk.run("systemctl", "--quiet", "enable", "iterctl.service", *own)
    disk.run("systemctl", "--quiet", "mask", "getty.target")


@pytest.fixture
def booted(guest):
    """The machine, after its boot has finished."""
    guest.run("systemctl is-system-running --wait", status=None)
    return guest


@pytest.fixture
def watched(booted):
    """The machine, with `iterctl-watch.service` running."""
    booted.run("systemctl start iterctl-watch.service")
    yield booted
    print(journal(booted, "iterctl-watch.service"))
    booted.run("systemctl stop iterctl-watch.service")


def test_the_boot_pins(booted):
    print(booted.run("systemctl status --no-pager iterctl.service"))
    assert booted.run("systemctl is-system-running") == "running"
    assert_pinned(booted)


def assert_pinned(guest, *more):
    assert guest.run("systemctl is-active iterctl.service") == "active"
    listed = json.loads(guest.run("iterctl list --json"))
    names = sorted(["elements", "tasks", *more])
    assert [pin["path"] for pin in listed["pins"]] == [f"/sys/fs/bpf/observe/{name}" for name in names]
    # The output that a service read which starts after iterctl.service.
    tasks, _, elements = guest.run("cat /run/read-at-boot").partition("key")
    assert "systemd" in tasks and ["7", "42"] in [line.split() for line in elements.splitlines()]


def test_the_boot_waits_for_a_map_that_comes_later(booted):
    """The map's service looks for an iterctl that waits for events before it pins the map."""
    print(booted.run("systemctl status --no-pager late-map.service"))
    assert booted.run("systemctl is-active iterctl.service") == "active"
    booted.run("test -e /sys/fs/bpf/late_map")
    assert "waiting for up to 30s: `observe/elements`: no map is pinned" in journal(booted, "iterctl.service")
    began = when(booted, "iterctl.service", "ExecMainStart")
    pinned = when(booted, "late-map.service", "ExecMainExit")
    assert began < pinned < when(booted, "iterctl.service", "ExecMainExit")


def test_a_reboot_pins_again(booted):
    before = booted.run("cat /proc/sys/kernel/random/boot_id")
    booted.reboot()
    booted.run("systemctl is-system-running --wait")
    assert booted.run("cat /proc/sys/kernel/random/boot_id") != before
    assert_pinned(booted)


def test_a_broken_drop_in_fails_the_unit_at_boot(booted):
    booted.run("echo '[[iter]' > /etc/iterctl.d/30-broken.toml")
    booted.reboot()
    assert booted.run("systemctl is-system-running --wait", status=1) == "degraded"
    assert booted.run("systemctl is-failed iterctl.service") == "failed"
    status = booted.run("systemctl status --no-pager iterctl.service", status=3)
    print(status)
    assert "status=65" in status and "/etc/iterctl.d/30-broken.toml:1:" in status
    assert booted.run("systemctl is-active reader.service", status=3) == "inactive"
    assert booted.run("ls /sys/fs/bpf") == ""

    booted.run("rm /etc/iterctl.d/30-broken.toml")
    booted.run("systemctl start --no-block iterctl.service && systemctl restart late-map.service")
    booted.run("systemctl start reader.service")
    assert_pinned(booted)


def test_watch_is_ready_and_heals(watched):
    assert show(watched, "iterctl-watch.service", "StatusText") == "2 iterators"
    watched.run("rm /sys/fs/bpf/observe/tasks")
    watched.wait_for("test -e /sys/fs/bpf/observe/tasks")
    assert_pinned(watched)


def test_reload_of_watch_returns_after_a_round(watched):
    watched.run(
        f"printf '%s' '{MORE}' > /etc/iterctl.d/30-more.toml && systemctl reload iterctl-watch.service"
    )
    assert_pinned(watched, "more")
    # While another process holds the lock, the round fails a second later, and not before.
    reload = "rm /etc/iterctl.d/30-more.toml && systemctl reload iterctl-watch.service"
    watched.run(f"flock /sys/fs/bpf/iterctl-lock sh -c '{reload}'")
    assert "is locked" in journal(watched, "iterctl-watch.service")
    watched.run("systemctl reload iterctl-watch.service")
    assert_pinned(watched)


def test_the_watchdog_lets_watch_live_and_restarts_one_that_hangs(watched):
    unit = "iterctl-watch.service"
    drop_in = f"/run/systemd/system/{unit}.d/often.conf"
    watched.run(f"mkdir -p {Path(drop_in).parent} && printf '[Service]\\nWatchdogSec=5s\\n' > {drop_in}")
    watched.run(f"systemctl daemon-reload && systemctl restart {unit}")
    process = show(watched, unit, "MainPID")
    # It notifies the watchdog only after more than twice the limit.
    late = when(watched, unit, "ActiveEnter") + 11_000_000
    watched.wait_for(
        f"test $(systemctl show --value --property=WatchdogTimestampMonotonic {unit}) -gt {late}"
    )
    assert show(watched, unit, "NRestarts") == "0" and show(watched, unit, "MainPID") == process

    watched.run(f"kill -STOP {process}")
    watched.wait_for(f"test $(systemctl show --value --property=NRestarts {unit}) = 1")
    watched.wait_for(f"systemctl is-active {unit}")
    assert show(watched, unit, "MainPID") != process
    assert_pinned(watched)
    watched.run(f"rm {drop_in} && systemctl daemon-reload")


@pytest.mark.parametrize("unit", ["iterctl.service", "iterctl-watch.service"])
def test_systemd_finds_nothing_wrong(guest, unit):
    # The machine has no `man`.
    assert guest.run(f"systemd-analyze verify --man=no {unit}") == ""
    said = guest.run(f"systemd-analyze security --no-pager --threshold={HIGHEST_EXPOSURE * 10:.0f} {unit}")
    print(said.splitlines()[-1])


def journal(guest, unit):
    """The unit's log since it was started."""
    return guest.run(f"journalctl --sync && journalctl --no-pager --invocation=0 --unit={unit}")


def show(guest, unit, name):
    return guest.run(f"systemctl show --value --property={name} {unit}")


def when(guest, unit, what):
    """Microseconds since the boot."""
    return int(show(guest, unit, f"{what}TimestampMonotonic"))
