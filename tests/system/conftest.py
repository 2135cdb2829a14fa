"""What every test of tests/system may ask for."""

import pytest
from sandbox import Sandbox


@pytest.fixture
def sandbox(tmp_path):
    """A folder, and namespaces with a bpffs of their own at /sys/fs/bpf."""
    with Sandbox(tmp_path) as sandbox:
        yield sandbox
