"""The module of integrations/puppet, and the snippet of integrations/chef as far as possible without Chef."""

import re

import pytest
from sandbox import ITERCTL, ROOT

INTEGRATIONS = ROOT / "integrations"

MANIFEST = 'set = "observe"\n[[iter]]\nobj = "tasks.bpf.o"\npath = "observe/tasks"\n'

# The exit statuses of `puppet apply --detailed-exitcodes`.
IN_SYNC, CHANGED, FAILED = 0, 2, 4


@pytest.fixture
def puppet(sandbox):
    """Runs `puppet apply` for one manifest; returns its whole output."""
    sandbox.copy_object("tasks_v1.bpf.o", "tasks.bpf.o")
    manifest = sandbox.write("observe.toml", MANIFEST)
    folders = [f"--{name}={sandbox.folder}/puppet/{name}" for name in PUPPETS_FOLDERS]
    code = f"iterctl::manifest {{ '{manifest}': program => '{ITERCTL}' }}"
    fixed = [
        f"--modulepath={INTEGRATIONS}/puppet/modules",
        "--color=false",
        "--detailed-exitcodes",
        "-e",
        code,
    ]

    def run(*flags, status):
        done = sandbox.run("puppet", "apply", *folders, *fixed, *flags, status=status)
        return done.stdout + done.stderr

    return run


PUPPETS_FOLDERS = ("codedir", "confdir", "logdir", "publicdir", "rundir", "vardir")


def test_the_first_run_changes_the_second_does_not(puppet, sandbox):
    assert re.search(r"Exec\[apply .*\]/returns: executed successfully", puppet(status=CHANGED))
    assert sandbox.pins() == ["observe/tasks"]
    assert "Exec[" not in puppet(status=IN_SYNC)


def test_noop_predicts_and_changes_nothing(puppet, sandbox):
    would = r"Exec\[apply .*\]/returns: current_value 'notrun', should be \['0'\] \(noop\)"
    assert re.search(would, puppet("--noop", status=IN_SYNC))
    assert sandbox.pins() == []

    sandbox.iterctl("apply", "-f", "observe.toml")
    assert "Exec[" not in puppet("--noop", status=IN_SYNC)


def test_an_error_is_not_reported_as_drift(puppet, sandbox):
    sandbox.write("observe.toml", MANIFEST + "mdoe = 1\n")
    for flags in (["--noop"], []):
        said = puppet(*flags, status=FAILED)
        assert "unknown key `mdoe`" in said and "observe.toml:5:1" in said
        assert "returned 65 instead of one of [0]" in said
        assert "Skipping because of failed dependencies" in said
    assert sandbox.pins() == []


def test_the_chef_snippet_is_ruby(sandbox):
    assert sandbox.run("ruby", "-c", INTEGRATIONS / "chef/iterators.rb").stdout == "Syntax OK\n"
