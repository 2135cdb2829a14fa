"""The basis of the other tests: a sandbox is the machine itself with another bpffs."""

from sandbox import BPFFS, Namespaces


def test_a_sandbox_has_a_bpffs_of_its_own(sandbox):
    sandbox.copy_object("tasks_v1.bpf.o")
    sandbox.write("iters.toml", '[[iter]]\nobj = "tasks_v1.bpf.o"\npath = "observe/tasks"\n')

    assert sandbox.pins() == []
    sandbox.iterctl("apply", "-f", "iters.toml")

    assert sandbox.pins() == ["observe/tasks"]
    assert not (BPFFS / "observe/tasks").exists()
    with Namespaces() as another:
        assert another.pins() == []


def test_commands_in_a_sandbox_must_end_as_expected(sandbox):
    assert sandbox.run("sh", "-c", "echo said; exit 3", status=3).stdout == "said\n"
    try:
        sandbox.run("sh", "-c", "echo why >&2; exit 3")
    except AssertionError as error:
        assert "ended with 3" in str(error) and "why" in str(error)
    else:
        raise AssertionError("a command that fails has passed")
