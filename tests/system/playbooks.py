"""Ansible, with the collection of integrations/ansible installed as a user would install it."""

import json
import os
import subprocess

from sandbox import ITERCTL, ROOT, VENV

MODULE = "iterctl.bpf.iterctl"
COLLECTION = ROOT / "integrations/ansible"


def install_collection(folder):
    """Installs the collection below a folder, as a user would."""
    galaxy = [VENV / "bin/ansible-galaxy", "collection", "install", "--offline", COLLECTION]
    environment = {**os.environ, "ANSIBLE_HOME": folder, "ANSIBLE_COLLECTIONS_PATH": folder}
    subprocess.run(galaxy, env=environment, check=True)


class Ansible:
    """Runs Ansible's commands in namespaces; their output files are in a folder."""

    def __init__(self, namespaces, folder, collections):
        self._namespaces = namespaces
        self._folder = folder
        self._env = {
            "ANSIBLE_HOME": folder,
            "ANSIBLE_LOCAL_TEMP": folder / "tmp",
            "ANSIBLE_COLLECTIONS_PATH": collections,
            "ANSIBLE_NOCOLOR": "true",
        }

    def run(self, program, *arguments, env=None, **run):
        """Runs one of Ansible's commands."""
        return self._namespaces.run(
            VENV / "bin" / program, *arguments, env={**self._env, **(env or {})}, **run
        )

    def task(self, *flags, status=0, **options):
        """Runs the module once, in the namespaces; returns its result and everything that was printed."""
        # A host named `localhost` would get another interpreter: that of the venv.
        host = ["--inventory", "sandbox,", "--connection", "local", "sandbox"]
        variables = {
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_remote_tmp": f"{self._folder}/tmp",
        }
        module = ["--module-name", MODULE, "--args", json.dumps({"executable": str(ITERCTL), **options})]
        printed = self.run(
            "ansible", *host, "--extra-vars", json.dumps(variables), *module, *flags, status=status
        ).stdout
        _, _, answer = printed.partition(" => ")
        result, _ = json.JSONDecoder().raw_decode(answer)
        return result, printed
