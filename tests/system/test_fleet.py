"""One playbook, taken from the example, against five hosts, one of which is broken."""

import json
import re

import pytest
from fleet import Fleet
from playbooks import COLLECTION, Ansible
from sandbox import BPFFS, ITERCTL, OBJECTS

HOSTS = ["alder", "beech", "cedar", "damson", "elm"]
BROKEN = "cedar"
SOUND = [name for name in HOSTS if name != BROKEN]

PLAYBOOK = COLLECTION / "playbooks/iterators.yml"
OBJECT = OBJECTS / "tasks_v1.bpf.o"
PIN = BPFFS / "observe/tasks"

TASKS = 3


@pytest.fixture
def fleet(tmp_path):
    with Fleet(tmp_path, HOSTS) as fleet:
        yield fleet


@pytest.fixture
def playbook(fleet, collections):
    """Runs the playbook on all hosts; returns its output, and the counts of each host from its last lines."""
    ansible = Ansible(fleet.controller, fleet.folder / "ansible", collections)
    variables = {
        "iterctl_executable": str(ITERCTL),
        "iterctl_object": str(OBJECT),
        "iterctl_objects": "/srv/bpf",
    }
    # JSON is YAML.
    inventory = fleet.controller.write("inventory.yml", json.dumps(fleet.inventory()))
    fixed = ["--inventory", inventory, "--extra-vars", json.dumps(variables), PLAYBOOK]

    def run(*flags, status):
        printed = ansible.run("ansible-playbook", *fixed, *flags, status=status).stdout
        print(printed)  # Shown if the test fails.
        recap = printed.partition("PLAY RECAP")[2].splitlines()[1:]
        counts = {line.split()[0]: counts_of(line) for line in recap if line}
        assert sorted(counts) == HOSTS
        return printed, counts

    return run


def counts_of(line):
    return {word: int(number) for word, number in re.findall(r"(\w+)=(\d+)", line)}


def test_four_of_five_hosts_converge_and_the_broken_one_is_named(fleet, playbook):
    fleet.hosts[BROKEN].run("mkdir", PIN.parent)
    fleet.hosts[BROKEN].run("bpftool", "iter", "pin", OBJECT, PIN)
    foreign = listed(fleet.hosts[BROKEN])

    first, counts = playbook(status=2)
    for name in SOUND:
        expect(counts[name], ok=TASKS, changed=TASKS)
    expect(counts[BROKEN], ok=TASKS - 1, changed=TASKS - 1, failed=1)
    for name, host in fleet.hosts.items():
        assert host.pins() == ["observe/tasks"], name
        owner = None if name == BROKEN else "observe"
        assert [pin["set"] for pin in listed(host)] == [owner], name
    assert listed(fleet.hosts[BROKEN]) == foreign
    assert "`observe/tasks`: pinned by another tool" in first
    assert re.findall(r"^fatal: \[(\w+)\]: FAILED!", first, re.MULTILINE) == [BROKEN]

    pinned = {name: listed(fleet.hosts[name]) for name in SOUND}
    for flags in (["--check"], []):
        _, counts = playbook(*flags, status=2)
        assert [name for name in HOSTS if unchanged(counts[name])] == SOUND
        expect(counts[BROKEN], ok=TASKS - 1, failed=1)

    fleet.hosts[BROKEN].run("rm", PIN)
    _, counts = playbook(status=0)
    expect(counts[BROKEN], ok=TASKS, changed=1)
    assert [name for name in HOSTS if unchanged(counts[name])] == SOUND
    assert {name: listed(fleet.hosts[name]) for name in SOUND} == pinned

    _, counts = playbook(status=0)
    assert all(unchanged(counts[name]) for name in HOSTS)


def test_a_host_that_is_away_is_named_and_the_others_converge(fleet, playbook):
    fleet.hosts[BROKEN].stop_serving()
    printed, counts = playbook(status=4)
    for name in SOUND:
        expect(counts[name], ok=TASKS, changed=TASKS)
    expect(counts[BROKEN], unreachable=1)
    assert re.findall(r"^fatal: \[(\w+)\]: UNREACHABLE!", printed, re.MULTILINE) == [BROKEN]


def expect(counts, **expected):
    """Checks that exactly these results were counted for a host."""
    assert {word: number for word, number in counts.items() if number} == expected


def unchanged(counts):
    return counts["ok"] == TASKS and counts["changed"] == 0 and counts["failed"] == 0


def listed(host):
    return json.loads(host.iterctl("--json", "list").stdout)["pins"]
