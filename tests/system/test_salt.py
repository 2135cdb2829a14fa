"""The states of integrations/salt, without a master."""

import json

import pytest
from sandbox import ROOT, VENV

MANIFEST = 'set = "observe"\n[[iter]]\nobj = "tasks.bpf.o"\npath = "observe/tasks"\n'

# The exit status of `salt-call --retcode-passthrough` after a state has failed.
FAILED = 2


@pytest.fixture
def salt(sandbox):
    """Applies one of the states; returns Salt's result."""
    sandbox.copy_object("tasks_v1.bpf.o", "tasks.bpf.o")
    manifest = sandbox.write("observe.toml", MANIFEST)
    sandbox.write("conf/minion", f"root_dir: {sandbox.folder}/root\n")
    fixed = [
        "--local",
        "--id=sandbox",
        f"--config-dir={sandbox.folder}/conf",
        f"--file-root={ROOT}/integrations/salt",
    ]
    pillar = "pillar=" + json.dumps({"iterctl": {"manifest": str(manifest), "set": "observe"}})
    output = ["--out=json", "--retcode-passthrough"]

    def run(*options, name="iterators", status=0):
        call = [VENV / "bin/salt-call", *fixed, *output, "state.apply", name, pillar, *options]
        (state,) = json.loads(sandbox.run(*call, status=status).stdout)["local"].values()
        return state

    return run


def test_the_first_run_changes_the_second_does_not(salt, sandbox):
    first = salt()
    assert (first["result"], first["comment"]) == (True, "1 pinned")
    assert first["changes"]["summary"]["pin"] == 1
    assert sandbox.pins() == ["observe/tasks"]

    second = salt()
    assert (second["result"], second["comment"]) == (True, "nothing to do: 1 iterator in sync")
    assert second["changes"] == {}


def test_test_mode_predicts_and_changes_nothing(salt, sandbox):
    predicted = salt("test=True")
    # Salt's result for a state that would change something.
    assert (predicted["result"], predicted["comment"]) == (None, "1 to pin")
    assert predicted["changes"]["changes"][0]["path"] == "/sys/fs/bpf/observe/tasks"
    assert sandbox.pins() == []

    sandbox.iterctl("apply", "-f", "observe.toml")
    in_sync = salt("test=True")
    assert (in_sync["result"], in_sync["changes"]) == (True, {})


def test_an_error_fails_the_state_and_is_its_comment(salt, sandbox):
    manifest = sandbox.write("observe.toml", MANIFEST + "mdoe = 1\n")
    for options in (["test=True"], []):
        failed = salt(*options, status=FAILED)
        assert failed["result"] is False and failed["changes"] == {}
        assert failed["comment"].startswith(f"{manifest}:5:1: unknown key `mdoe`")
    assert sandbox.pins() == []


def test_obstacles_are_named(salt, sandbox):
    sandbox.iterctl("pin", "tasks.bpf.o", "observe/tasks", "--set", "other")
    reason = "`observe/tasks`: pinned by the set other"
    failed = salt("test=True", status=FAILED)
    assert (failed["result"], failed["comment"]) == (False, f"apply would change nothing: {reason}")
    failed = salt(status=FAILED)
    assert failed["result"] is False
    assert failed["comment"] == f"nothing was changed: 1 thing is in the way: {reason}"


def test_a_set_is_unpinned_and_nothing_else(salt, sandbox):
    sandbox.iterctl("pin", "tasks.bpf.o", "other/tasks", "--set", "other")
    salt()
    predicted = salt("test=True", name="no_iterators")
    assert (predicted["result"], predicted["comment"]) == (None, "1 to unpin")
    assert sandbox.pins() == ["observe/tasks", "other/tasks"]

    done = salt(name="no_iterators")
    assert (done["result"], done["comment"]) == (True, "1 unpinned")
    assert sandbox.pins() == ["other/tasks"]
    for options in ([], ["test=True"]):
        again = salt(*options, name="no_iterators")
        assert (again["result"], again["changes"]) == (True, {})
