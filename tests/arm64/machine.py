"""The emulated machine: the root's own ssh server in namespaces of its own.

QEMU runs ARM64 programs for a kernel that is told so, and it is told in a user namespace alone
(Linux 6.7 and later): neither a mount, nor what the kernel runs by QEMU, is seen outside.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.arm64.root import NotHereError, program, run

if TYPE_CHECKING:
    from types import TracebackType

# ELF, 64 bits, little-endian, a program or a library of AArch64.
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
# Inside: as root of the namespace, with a mount table of its own. What the kernel was told holds as
# long as it is mounted, so `proc` comes on top.
ENTER = """
set -e
mount --make-rprivate /
mount -t binfmt_misc binfmt_misc "$1/proc"
printf '%s' "$2" > "$1/proc/register"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
exec chroot "$1" /usr/sbin/sshd -D -e -f /etc/ssh/edgespiral_config
"""
WAIT_S = 60.0


class Machine:
    """The ssh server of a root, while it is open.

    Attributes:
        config: the ssh client's, in which the machine is called `arm64`.
    """

    def __init__(self, root: Path, work: Path) -> None:
        self._root, self._work = root, work
        self.config = work / "ssh_config"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Machine:
        """Start it, and wait until it answers."""
        self._write_keys()
        qemu = program("qemu-aarch64-static", "qemu-user-static")
        rule = f":qemu-aarch64:M::{MAGIC}:{MASK}:{qemu}:F"
        inner = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        entering = [*inner, "sh", "-c", ENTER, "sh", str(self._root), rule]
        # Programs have root's powers there once its number is mapped, from their next start on.
        command = ["unshare", "--user", "sh", "-c", 'read -r mapped; exec "$@"', "sh", *entering]
        with (self._work / "sshd.log").open("w") as log:
            self._server = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True
            )
        self._map_users()
        self._await_answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it with all that runs there."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def _map_users(self) -> None:
        assert self._server is not None
        assert self._server.stdin is not None
        process, own = Path(f"/proc/{self._server.pid}"), Path("/proc/self/ns/user").readlink()
        until = time.monotonic() + WAIT_S
        while (process / "ns/user").readlink() == own:
            if time.monotonic() > until or self._server.poll() is not None:
                raise NotHereError(f"no user namespace can be had: {self._said()}")
            time.sleep(0.01)
        for name in ("uid_map", "gid_map"):
            (process / name).write_text("0 0 65536\n")
        self._server.stdin.write("\n")
        self._server.stdin.close()

    def _await_answer(self) -> None:
        assert self._server is not None
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until and self._server.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1) as link:
                link.settimeout(WAIT_S)
                if link.recv(4) == b"SSH-":
                    return
            time.sleep(0.1)
        raise NotHereError(f"its ssh server does not answer: {self._said()}")

    def _said(self) -> str:
        """The last line of what was printed inside."""
        lines = (self._work / "sshd.log").read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "without a word")

    def _write_keys(self) -> None:
        keys = self._root / "etc/ssh"
        for path in (keys / "host", self._work / "user"):
            for old in (path, path.with_name(f"{path.name}.pub")):
                old.unlink(missing_ok=True)
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
            run(made, "ssh-keygen makes no key")
        (keys / "user.pub").write_text((self._work / "user.pub").read_text())
        known = self._work / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self._port} {(keys / 'host.pub').read_text()}")
        (keys / "edgespiral_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self._port}\nHostKey /etc/ssh/host\n"
            "AuthorizedKeysFile /etc/ssh/user.pub\nPermitRootLogin prohibit-password\n"
            "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        )
        self.config.write_text(
            f"Host arm64\n HostName 127.0.0.1\n Port {self._port}\n User root\n"
            f" IdentityFile {self._work}/user\n IdentitiesOnly yes\n"
            f" UserKnownHostsFile {known}\n GlobalKnownHostsFile none\n"
        )


def require() -> None:
    """Refuse a machine on which there can be none.

    Raises:
        NotHereError: it is so, with the reason.
    """
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise NotHereError("an ARM64 root is unpacked and entered by root of a Linux alone")
    for name, package in (
        ("qemu-aarch64-static", "qemu-user-static"),
        ("debootstrap", "debootstrap"),
        ("unshare", "util-linux"),
        ("ssh-keygen", "openssh-client"),
    ):
        program(name, package)
