"""A sandbox of namespaces: every file system read-only but a scratch of its own, no network but
loopback, a process table of its own, and none of root's power over the machine.

A fuzzer once had a forged device answer a system folder, and the product removed it. So whatever
runs faults calls `require` first, which looks at the facts and not at a variable that says so.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Powers that reach past a mount namespace, or past the permissions that faults are about.
DROPPED = (
    *("sys_admin", "sys_module", "sys_rawio", "sys_boot", "sys_time", "mknod", "net_admin"),
    *("dac_override", "dac_read_search", "sys_ptrace", "syslog", "linux_immutable"),
)
SYS_ADMIN_BIT, DAC_OVERRIDE_BIT = 21, 1
# The scratch covers the first of these that this repository does not lie in.
PLACES = ("/tmp", "/mnt", "/srv", "/media")
SCRATCH_MIB, RUN_MIB, SMALL_DISK_MIB = 3072, 64, 24
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
# A user namespace may not take these away from a mount.
KEPT = {
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": 1024,
    "nodiratime": 2048,
    "relatime": 1 << 21,
}
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


class NotSealedError(RuntimeError):
    """Faults were to be run where they could reach more than a scratch."""


def why_not() -> str | None:
    """Why there can be no sandbox here; None where there can."""
    for program in ("unshare", "setpriv"):
        if shutil.which(program) is None:
            return f"{program} (util-linux) is missing"
    if not sys.platform.startswith("linux"):
        return "there are no namespaces but on Linux"
    tried = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, check=False)
    return f"namespaces cannot be had: {tried.stderr.strip()}" if tried.returncode else None


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this repository inside the sandbox."""
    return [*_unshare(), sys.executable, "-B", "-m", __name__, module, *arguments]


def scratch() -> Path:
    """The only folder that can be written to, of about 3 GiB in memory."""
    return _place() / "faults"


def small_disk() -> Path:
    """A file system of 24 MiB inside the scratch, to be filled."""
    return _place() / "small-disk"


def require() -> None:
    """Refuse to go on outside the sandbox.

    Raises:
        NotSealedError: something can be written to that is not the scratch's, there is a network,
            or root has its powers.
    """
    allowed = {str(_place()), str(small_disk()), "/run", "/dev/shm"}
    for point, options in _mounts():
        if point not in allowed and "ro" not in options.split(","):
            raise NotSealedError(f"{point} can be written to")
    if {name for _, name in socket.if_nameindex()} - {"lo"}:
        raise NotSealedError("there is a network")
    if Path("/proc/self").resolve().name != str(os.getpid()):
        raise NotSealedError("the process table is another's")
    if len(list(Path("/proc").glob("[0-9]*"))) > 200:
        raise NotSealedError("the machine's processes can be seen")
    power = int(_status("CapEff"), 16)
    if power >> SYS_ADMIN_BIT & 1 or power >> DAC_OVERRIDE_BIT & 1:
        raise NotSealedError("root has its powers")


def _unshare() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    kinds = ("--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child", "--mount-proc")
    return ["unshare", *user, *kinds]


def _place() -> Path:
    taken = (ROOT, Path(sys.executable).resolve(), Path(sys.prefix), Path(sys.base_prefix))
    for place in map(Path, PLACES):
        if place.is_dir() and not any(one.is_relative_to(place) for one in taken):
            return place
    raise NotSealedError(f"this repository lies in each of {', '.join(PLACES)}")


def _seal() -> None:
    # Where a fault takes all memory, the campaign goes first and nobody else's work.
    Path("/proc/self/oom_score_adj").write_text("900")
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    for point, options in sorted(_mounts(), reverse=True):
        kept = sum(KEPT.get(word, 0) for word in options.split(","))
        _mount("none", point, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)
    sizes = {_place(): SCRATCH_MIB, Path("/run"): RUN_MIB, Path("/dev/shm"): RUN_MIB}
    for folder, mib in sizes.items():
        _mount("tmpfs", str(folder), f"size={mib}m,mode=755", MS_NOSUID | MS_NODEV)
    for folder in (scratch(), small_disk(), Path("/run/sshd")):
        folder.mkdir(mode=0o755)
    options = f"size={SMALL_DISK_MIB}m,mode=755"
    _mount("tmpfs", str(small_disk()), options, MS_NOSUID | MS_NODEV)
    _loopback_up()


def _mounts() -> list[tuple[str, str]]:
    """Where something is mounted, and with what options; of a covered mount those of the upper."""
    rows = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return list({row[4].replace("\\040", " "): row[5] for row in rows}.items())


def _mount(source: str, goal: str, options: str | None, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    kind = b"tmpfs" if source == "tmpfs" else None
    told = options.encode() if options else None
    if libc.mount(source.encode(), goal.encode(), kind, ctypes.c_ulong(flags), told):
        number = ctypes.get_errno()
        raise NotSealedError(f"cannot mount {goal}: {os.strerror(number)}")


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        asked = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(one, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(one, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | IFF_UP, b""))


def _status(key: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))


def _main(module: str, *arguments: str) -> None:
    if os.getpid() != 1:
        raise NotSealedError("seals nothing but a process table of its own")
    _seal()
    without = ",".join(f"-{name}" for name in DROPPED)
    program = shutil.which("setpriv") or "setpriv"
    own = (f"--bounding-set={without}", f"--inh-caps={without}")
    os.chdir(ROOT)
    os.environ.update({"TMPDIR": str(scratch()), "HOME": str(scratch())})
    # Coverage would write beside the code, where nothing in here can.
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        del os.environ[name]
    os.execv(program, [program, *own, sys.executable, "-B", "-m", module, *arguments])


if __name__ == "__main__":
    _main(*sys.argv[1:])
