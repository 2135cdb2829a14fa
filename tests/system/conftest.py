"""Fixtures for all tests of tests/system."""

import shutil
import tempfile

import pytest
from playbooks import install_collection
from sandbox import Sandbox


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    # pytest's own folder is shared by all runs of a user, and the end of one run removes files that another
    # still uses.
    if config.option.basetemp is None:
        folder = tempfile.mkdtemp(prefix="iterctl-system-")
        config.option.basetemp = folder
        config.add_cleanup(lambda: shutil.rmtree(folder))


@pytest.fixture
def sandbox(tmp_path):
    """A folder, and namespaces with a bpffs of their own at /sys/fs/bpf, and without a network."""
    with Sandbox(tmp_path, net=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def collections(tmp_path_factory):
    """A folder with the collection of integrations/ansible."""
    folder = tmp_path_factory.mktemp("collections")
    install_collection(folder)
    return folder
