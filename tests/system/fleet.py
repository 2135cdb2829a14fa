"""Hosts for tests: a network of namespaces. Each host in it has an SSH server and a bpffs of its own."""

import contextlib
import subprocess

from sandbox import Namespaces, Sandbox

# From the block that is reserved for documentation, so that no address belongs to a real host.
NETWORK = "192.0.2.{}"
PORT = 22


class Fleet(contextlib.ExitStack):
    """A controller, in which commands are run, and hosts that it reaches by SSH as root, with a key of its own.

    A host is the machine itself, with a separate network, bpffs and root's home, and an empty /srv. Everything
    else is read-only there.
    """

    def __init__(self, folder, names):
        super().__init__()
        self.folder = folder
        self._number = 0
        with contextlib.ExitStack() as undo:
            undo.push(self)
            self.controller = self.enter_context(Sandbox(folder, net=True, setup=BRIDGE))
            self._key = folder / "key"
            self.controller.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key)
            self.hosts = {name: self._add_host(name) for name in names}
            undo.pop_all()

    def inventory(self):
        """An inventory of all hosts, for Ansible."""
        options = (
            f"-F none -o IdentitiesOnly=yes -o UserKnownHostsFile={self.folder / 'known_hosts'}"
            " -o StrictHostKeyChecking=yes"
        )
        every = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self._key),
            # Without this, a master process stays for a minute, and keeps the connection.
            "ansible_ssh_args": "-o ControlMaster=no",
            "ansible_ssh_common_args": options,
            "ansible_pipelining": True,
            # This SSH server has no SFTP.
            "ansible_ssh_transfer_method": "piped",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        hosts = {name: {"ansible_host": host.address} for name, host in self.hosts.items()}
        return {"all": {"hosts": hosts, "vars": every}}

    def _add_host(self, name):
        self._number += 1
        host = self.enter_context(Host(self.folder / name, NETWORK.format(self._number + 1)))
        link = f"host{self._number}"
        self.controller.run("ip", "link", "add", link, "type", "veth", "peer", "eth0", "netns", host.pid)
        self.controller.run("ip", "link", "set", link, "master", "bridge", "up")
        host.join()
        key = host.serve((self.folder / "key.pub").read_text())
        self.callback(host.stop_serving)
        with (self.folder / "known_hosts").open("a") as known:
            known.write(f"{host.address} {key}\n")
        return host


BRIDGE = (
    "ip link add bridge type bridge",
    "ip link set bridge up",
    f"ip address add {NETWORK.format(1)}/24 dev bridge",
)


class Host(Namespaces):
    """A host of a fleet."""

    def __init__(self, folder, address):
        self.address = address
        self._folder = folder
        self._server = None
        (folder / "root/.ssh").mkdir(parents=True, mode=0o700)
        (folder / "passwd").write_text(f"root:x:0:0:root:{folder / 'root'}:/bin/sh\n")
        super().__init__(
            net=True,
            setup=(
                f"mount --bind {folder} {folder}",
                f"mount --bind {folder / 'passwd'} /etc/passwd",
                "mount -t tmpfs -o mode=0755 tmpfs /srv",
                # Whatever a playbook does, it affects this host alone.
                "mount -o remount,bind,ro /",
            ),
        )

    def join(self):
        """Takes its address, on the link that it was given."""
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def serve(self, authorized):
        """Starts the SSH server, which accepts this key, and returns the server's own key."""
        (self._folder / "root/.ssh/authorized_keys").write_text(authorized)
        made = self.run("dropbearkey", "-t", "ed25519", "-f", self._folder / "host_key")
        key = next(line for line in made.stdout.splitlines() if line.startswith("ssh-ed25519 "))
        self._server = self.start(
            *("dropbear", "-F", "-E", "-s", "-P", "", "-r", self._folder / "host_key"),
            *("-p", f"{self.address}:{PORT}"),
            stderr=subprocess.PIPE,
        )
        # It prints this after it has started to listen.
        said = self._server.stderr.readline()
        assert "Not backgrounding" in said, said
        return " ".join(key.split()[:2])

    def stop_serving(self):
        if self._server.poll() is None:
            self._server.kill()
            self._server.communicate()
