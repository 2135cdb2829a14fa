"""Virtual machines: qemu boots a kernel with an initramfs and optionally a disk; tests use a second serial port.

The processor is emulated, because KVM inside a virtual machine can hang: ITERCTL_KVM=1 asks for KVM.
"""

import base64
import os
import socket
import subprocess
import time
from pathlib import Path

from kernels import Kernel

# The machine's processor, its emulation and the tests on it share two cores with everything else.
LONGEST_BOOT_SECONDS = 180
LONGEST_COMMAND_SECONDS = 120


class Machine:
    """A running machine. It ends with the `with` statement, or with the tests, however they end."""

    def __init__(
        self,
        kernel: Kernel,
        initramfs: Path,
        folder: Path,
        *,
        disk: Path | None = None,
        memory=512,
        cpus=1,
        parameters="",
    ):
        self._console = folder / "console.log"
        accelerator = (
            ["kvm", "-cpu", "host"] if os.environ.get("ITERCTL_KVM") == "1" else ["tcg", "-cpu", "max"]
        )
        self._port, port = socket.socketpair()
        drive = ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"] if disk else []
        command = [
            *["setpriv", "--pdeathsig=KILL", "qemu-system-x86_64", "-nodefaults", "-no-user-config"],
            *["-machine", "q35", "-accel", *accelerator, "-m", str(memory), "-smp", str(cpus)],
            *["-display", "none", "-kernel", str(kernel.image), "-initrd", str(initramfs)],
            *["-append", f"console=ttyS0 quiet panic=-1 {parameters}"],
            *["-chardev", f"file,id=console,path={self._console}", "-serial", "chardev:console"],
            *["-chardev", f"socket,id=port,fd={port.fileno()}", "-serial", "chardev:port"],
            *drive,
        ]
        if not disk:
            # A panic reboots the machine, which ends it.
            command += ["-no-reboot"]
        self._qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[port.fileno()])
        port.close()
        self._lines = self._port.makefile("rb")

    def line(self, deadline: float) -> str:
        """The next line that the guest writes to its second serial port; an empty string once the machine has ended."""
        self._port.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            return self._lines.readline().decode(errors="replace")
        except TimeoutError:
            raise self.error("the guest has not answered in time") from None

    def send(self, line: str) -> None:
        self._port.sendall(line.encode() + b"\n")

    def console(self) -> str:
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def error(self, what: str) -> Exception:
        return AssertionError(f"{what}\n--- the console's last lines\n{self.console()[-6000:]}\n---")

    def close(self) -> None:
        self._qemu.kill()
        self._qemu.wait()
        self._lines.close()
        self._port.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Guest(Machine):
    """A machine in which guest/agent.sh runs shell commands."""

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + LONGEST_BOOT_SECONDS
        while (line := self.line(deadline)).strip() != "ready":
            if not line:
                raise self.error("the machine has ended")

    def run(self, command: str, status: int | None = 0, seconds=LONGEST_COMMAND_SECONDS) -> str:
        """Runs a shell command as root and returns its output; it must end with this status, or with any if
        None.
        """
        self.send(base64.b64encode(command.encode()).decode())
        answer = self.line(time.monotonic() + seconds)
        if not answer:
            raise self.error(f"the machine has ended before `{command}` did")
        ended, _, said = answer.partition(" ")
        text = base64.b64decode(said).decode(errors="replace")
        assert status is None or int(ended) == status, (
            f"`{command}` ended with {ended}, not {status}:\n{text}"
        )
        return text

    def wait_for(self, condition: str, seconds=60) -> None:
        """Waits until a shell command succeeds."""
        self.run(f"timeout {seconds} sh -c 'until {condition}; do sleep 0.1; done'")

    def reboot(self) -> None:
        """Reboots the machine as an administrator does, and waits until it is up again."""
        self.send(base64.b64encode(b"systemctl reboot").decode())
        self.wait_until_up()
