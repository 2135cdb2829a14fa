"""The evaluation of the test binary's output on other kernels: nothing that was not tested counts as
passed.
"""

from outcome import Outcome

KERNEL = 'kernel: {"kernel": {"release": "5.10.0", "features": [{"name": "task", "state": "present"}]}}\n'

SAID = """\
running 4 tests
test kernel::a::passes ... ok
test kernel::a::fails ... FAILED
test kernel::b::lacks_something ... FAILED
test kernel::b::is_ignored ... ignored, needs root

failures:

---- kernel::a::fails stdout ----

thread 'kernel::a::fails' panicked at tests/kernel/a.rs:10:5:
a page that has `skipped: this kernel lacks nothing` in it

---- kernel::b::lacks_something stdout ----

thread 'kernel::b::lacks_something' panicked at tests/kernel/b.rs:1:1:
skipped: this kernel lacks target `cgroup` (since Linux 6.1)
note: run with `RUST_BACKTRACE=1`

test result: FAILED. 1 passed; 2 failed; 1 ignored
"""


def test_each_test_ends_in_one_way():
    outcome = Outcome(KERNEL + SAID)
    assert outcome.ended("passed") == ["kernel::a::passes"]
    assert outcome.ended("skipped") == ["kernel::b::lacks_something"]
    assert outcome.ended("failed") == ["kernel::a::fails", "kernel::b::is_ignored"]
    reason = outcome.results["kernel::b::lacks_something"].reason
    assert reason == "this kernel lacks target `cgroup` (since Linux 6.1)"


def test_failed_and_missing_tests_are_faults():
    expected = {
        "kernel::a::passes",
        "kernel::a::fails",
        "kernel::b::is_ignored",
        "kernel::b::lacks_something",
        "kernel::c::was_lost",
    }
    assert Outcome(KERNEL + SAID).faults(expected) == [
        "kernel::a::fails failed",
        "kernel::b::is_ignored failed",
        "kernel::c::was_lost was not run",
    ]


def test_a_machine_that_dies_is_a_fault():
    said = "test kernel::a::passes ... ok\nKernel panic\n"
    assert Outcome(said).faults({"kernel::a::passes"}) == [
        "the tests did not come to their end",
        "`iterctl check --kernel` said nothing",
    ]
