"""The collection of integrations/ansible, on this machine; test_fleet tests it on several hosts."""

import importlib.util

import pytest
import yaml
from playbooks import COLLECTION, MODULE, Ansible

SET = "observe"


@pytest.fixture
def ansible(sandbox, collections):
    sandbox.copy_object("tasks_v1.bpf.o", "tasks.bpf.o")
    return Ansible(sandbox, sandbox.folder / "ansible", collections)


@pytest.fixture
def present(sandbox):
    """The options of a task that pins one iterator, with an inline manifest."""
    return {"set": SET, "chdir": str(sandbox.folder), "content": manifest("tasks.bpf.o")}


def manifest(obj, more=""):
    return f'[[iter]]\nobj = "{obj}"\npath = "observe/tasks"\n{more}'


def test_the_first_run_changes_the_second_does_not(ansible, present, sandbox):
    first, _ = ansible.task(**present)
    assert (first["changed"], first["comment"]) == (True, "1 pinned")
    assert sandbox.pins() == ["observe/tasks"]

    second, _ = ansible.task(**present)
    assert (second["changed"], second["comment"]) == (False, "nothing to do: 1 iterator in sync")
    assert second["changes"] == []


def test_a_manifest_by_path_is_a_file_or_a_directory(ansible, sandbox):
    sandbox.write("observe.d/10-tasks.toml", manifest("../tasks.bpf.o"))
    first, _ = ansible.task(manifest=str(sandbox.folder / "observe.d"))
    assert first["changed"] and first["changes"][0]["after"]["set"] == "observe"

    second, _ = ansible.task(manifest="observe.d/10-tasks.toml", chdir=str(sandbox.folder), set=SET)
    assert not second["changed"]


def test_check_mode_predicts_and_changes_nothing(ansible, present, sandbox):
    predicted, _ = ansible.task("--check", **present)
    assert (predicted["changed"], predicted["comment"]) == (True, "1 to pin")
    assert sandbox.pins() == []

    done, _ = ansible.task(**present)
    assert without_ids(predicted["changes"]) == without_ids(done["changes"])
    again, _ = ansible.task("--check", **present)
    assert not again["changed"]

    sandbox.copy_object("tasks_v2.bpf.o", "tasks.bpf.o")
    before = sandbox.iterctl("--json", "list").stdout
    predicted, _ = ansible.task("--check", **present)
    assert sandbox.iterctl("--json", "list").stdout == before
    done, _ = ansible.task(**present)
    assert predicted["changed"] and done["changed"]
    assert without_ids(predicted["changes"]) == without_ids(done["changes"])


def without_ids(changes):
    """The changes without the values that only the kernel can tell after they were made."""
    ids = {"program_id": None, "link_id": None}
    return [{**change, "after": change["after"] and {**change["after"], **ids}} for change in changes]


def test_diff_mode_shows_the_plan(ansible, present):
    _, printed = ansible.task("--check", "--diff", **present)
    assert "--- before: /sys/fs/bpf/observe/tasks\n+++ after: /sys/fs/bpf/observe/tasks\n" in printed
    assert "+target: task\n" in printed and "+mode: 0600\n" in printed
    ansible.task(**present)

    changed = {**present, "content": manifest("tasks.bpf.o", 'mode = "0444"\n')}
    for flags in (["--check", "--diff"], ["--diff"]):
        _, printed = ansible.task(*flags, **changed)
        assert "+# mode changed: 0600 -> 0444\n" in printed
        assert "-mode: 0600\n+mode: 0444\n" in printed
        assert " target: task\n" in printed

    _, printed = ansible.task("--diff", **changed)
    assert "before:" not in printed


def test_diff_mode_shows_changes_that_no_key_of_a_pin_shows(ansible, sandbox):
    sandbox.copy_object("globals.bpf.o")
    entry = '[[iter]]\nobj = "globals.bpf.o"\npath = "observe/globals"\nglobals = {{ u8 = {} }}\n'
    options = {"set": SET, "chdir": str(sandbox.folder)}
    ansible.task(**options, content=entry.format(1))

    _, printed = ansible.task("--diff", **options, content=entry.format(2))
    assert "+# globals changed\n" in printed


def test_a_bad_manifest_fails_with_its_faults_and_their_lines(ansible, present, sandbox):
    bad = {**present, "content": manifest("tasks.bpf.o", 'mdoe = "0444"\nmode = "9"\n')}
    for flags in ([], ["--check"]):
        failed, printed = ansible.task(*flags, status=2, **bad)
        assert failed["rc"] == 65
        assert [fault["place"]["line"] for fault in failed["diagnostics"]] == [4, 5]
        assert "<stdin>:4:1: unknown key `mdoe`" in printed
        assert "<stdin>:5:8: `9` is not a mode (write three octal digits, such as `0440`)" in printed
    assert sandbox.pins() == []


def test_an_object_that_the_verifier_rejects_fails_with_the_reason(ansible, present, sandbox):
    sandbox.copy_object("rejected.bpf.o")
    rejected = {**present, "content": manifest("rejected.bpf.o")}
    failed, _ = ansible.task(status=2, **rejected)
    assert failed["rc"] == 1 and not failed["changed"]
    assert "the verifier rejected" in failed["msg"]
    assert sandbox.pins() == []


def test_with_keep_going_other_entries_are_applied_and_the_task_fails(ansible, present, sandbox):
    faulty = '[[iter]]\nobj = "missing.bpf.o"\npath = "observe/missing"\n'
    two = {**present, "content": present["content"] + faulty, "keep_going": True}
    for flags, changed in ((["--check"], False), ([], True)):
        assert sandbox.pins() == []
        failed, _ = ansible.task(*flags, status=2, **two)
        assert (failed["rc"], failed["changed"]) == (1, changed)
        assert {change["path"]: change["action"] for change in failed["changes"]} == {
            "/sys/fs/bpf/observe/missing": "blocked",
            "/sys/fs/bpf/observe/tasks": "pin",
        }
        assert f"no object at {sandbox.folder}/missing.bpf.o" in failed["msg"]
    assert sandbox.pins() == ["observe/tasks"]


def test_a_foreign_pin_is_taken_over_only_when_asked(ansible, present, sandbox):
    sandbox.iterctl("pin", "tasks.bpf.o", "observe/tasks", "--set", "other")
    for flags in ([], ["--check"]):
        failed, _ = ansible.task(*flags, status=2, **present)
        assert failed["rc"] == 73 and not failed["changed"]
        assert "pinned by the set other" in failed["msg"] and "observe/tasks" in failed["msg"]

    adopted, printed = ansible.task("--diff", **present, adopt=True)
    assert adopted["changed"] and "-set: other\n+set: observe\n" in printed


def test_absent_unpins_the_set_and_nothing_else(ansible, present, sandbox):
    sandbox.iterctl("pin", "tasks.bpf.o", "other/tasks", "--set", "other")
    ansible.task(**present)
    (sandbox.folder / "tasks.bpf.o").unlink()
    absent = {"set": SET, "state": "absent"}

    predicted, printed = ansible.task("--check", "--diff", **absent)
    assert (predicted["changed"], predicted["comment"]) == (True, "1 to unpin")
    assert "-target: task\n" in printed
    assert sandbox.pins() == ["observe/tasks", "other/tasks"]

    done, _ = ansible.task(**absent)
    assert (done["changed"], done["comment"]) == (True, "1 unpinned")
    assert sandbox.pins() == ["other/tasks"]
    for flags in ([], ["--check"]):
        again, _ = ansible.task(*flags, **absent)
        assert not again["changed"]


def test_absent_is_for_the_bpffs_that_is_named(ansible, sandbox):
    (sandbox.folder / "bpf").mkdir()
    sandbox.run("mount", "-t", "bpf", "bpf", "bpf")
    bpffs = str(sandbox.folder / "bpf")
    content = f'bpffs = "{bpffs}"\n' + manifest("tasks.bpf.o")
    ansible.task(set=SET, chdir=str(sandbox.folder), content=content)

    for flags in (["--check"], []):
        elsewhere, _ = ansible.task(*flags, set=SET, state="absent")
        assert not elsewhere["changed"]
        here, _ = ansible.task(*flags, set=SET, state="absent", bpffs=bpffs)
        assert here["changed"]
    assert sandbox.pins(bpffs) == []


def test_an_empty_manifest_unpins_only_when_asked(ansible, present):
    ansible.task(**present)
    failed, _ = ansible.task(status=2, set=SET, content="")
    assert failed["rc"] == 65
    emptied, _ = ansible.task(set=SET, content="", allow_empty=True)
    assert emptied["comment"] == "1 unpinned"


def test_a_manifest_of_another_user_is_used_only_when_asked(ansible, sandbox):
    path = sandbox.write("observe.toml", manifest("tasks.bpf.o"))
    path.chmod(0o666)
    failed, _ = ansible.task(status=2, manifest=str(path))
    assert failed["rc"] == 77
    done, _ = ansible.task(manifest=str(path), insecure=True)
    assert done["changed"]


def test_the_wait_time_is_passed_on_except_in_check_mode(ansible, present):
    patient = {**present, "wait": "5s", "lock_timeout": "7s"}
    checked, _ = ansible.task("--check", **patient)
    assert "--wait" not in checked["cmd"]
    done, _ = ansible.task(**patient)
    assert done["cmd"][-4:] == ["--wait", "5s", "--lock-timeout", "7s"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "manifest, content"),
        ({"content": "", "manifest": "/x"}, "mutually exclusive: manifest|content"),
        ({"state": "absent"}, "state is absent but all of the following are missing: set"),
        ({"state": "there"}, "value of state must be one of: present, absent"),
        ({"content": "", "executable": "/bin/false"}, "no report of format 1 from iterctl"),
        ({"content": "", "executable": "no-iterctl"}, "no-iterctl"),
    ],
)
def test_a_task_with_contradictory_options_fails(ansible, options, why):
    failed, _ = ansible.task(status=2, **options)
    assert why in failed["msg"]


def test_ansible_doc_prints_every_option(ansible):
    printed = ansible.run("ansible-doc", "--type", "module", MODULE).stdout
    options = printed.partition("OPTIONS")[2].partition("ATTRIBUTES")[0]
    for option in load_module().ARGUMENTS:
        assert f"\n- {option} " in options, option
    assert "EXAMPLES:" in printed and "RETURN VALUES:" in printed


def test_the_documentation_matches_the_arguments_of_the_module():
    module = load_module()
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    # The descriptions are left out, because they are only for readers.
    said = {
        name: {key: option[key] for key in option if key != "description"}
        for name, option in documented.items()
    }
    assert said == module.ARGUMENTS
    assert all(option["description"] for option in documented.values())


def load_module():
    spec = importlib.util.spec_from_file_location("iterctl_module", COLLECTION / "plugins/modules/iterctl.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
