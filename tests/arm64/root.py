"""The files of an ARM64 Debian, unpacked in a folder: no program of it runs while it is made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

# What EdgeSpiral's runtimes need on a device, as its index has them for ARM64.
WHEELS = ("numpy", "onnxruntime", "openvino", "MNN", "ncnn", "ai-edge-litert")
INCLUDED = "python3,openssh-server"
ACCOUNTS = (
    "root:x:0:0:root:/root:/bin/sh",
    "sshd:x:105:65534::/run/sshd:/usr/sbin/nologin",
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
)
GROUPS = ("root:x:0:", "tty:x:5:", "nogroup:x:65534:")
# Written last.
WHOLE = "edgespiral-arm64.json"


class NotHereError(RuntimeError):
    """This machine lacks what the emulated one is made with."""


def made(folder: Path, uv: Path) -> list[str]:
    """Make the root in `folder`, unless it is there; the wheels that it has.

    Raises:
        NotHereError: a program or the packages cannot be had.
    """
    told = folder / WHOLE
    if not told.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _unpack(folder)
        _settle(folder)
        told.write_text(json.dumps(_install(folder, uv)))
    wheels: list[str] = json.loads(told.read_text())
    return wheels


def program(name: str, package: str) -> str:
    """The whole path of a program.

    Raises:
        NotHereError: it is not installed.
    """
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        raise NotHereError(f"{name} is missing; on Debian and Ubuntu: apt-get install {package}")
    return found


def run(command: list[str], why: str) -> str:
    """What a command prints.

    Raises:
        NotHereError: it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise NotHereError(f"{why}: {' '.join(last)}")
    return done.stdout


def _unpack(root: Path) -> None:
    """By debootstrap's first stage, which chooses and downloads; all packages are unpacked here."""
    debootstrap = program("debootstrap", "debootstrap")
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines())
    suite = os.environ.get("ARM64_SUITE") or release.get("VERSION_CODENAME", "").strip('"')
    mirror = os.environ.get("ARM64_MIRROR") or _mirror(suite)
    choice = ["--foreign", "--arch=arm64", "--variant=minbase", f"--include={INCLUDED}"]
    run([debootstrap, *choice, suite, str(root), mirror], "debootstrap cannot make a root")
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        # Of a package's folders some are links in the root.
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
        ) as files:
            into = ["tar", "-x", "-C", str(root), "--keep-directory-symlink"]
            unpacked = subprocess.run(into, stdin=files.stdout, capture_output=True)
        if unpacked.returncode or files.returncode:
            raise NotHereError(f"{package.name} cannot be unpacked")
        package.unlink()


def _mirror(suite: str) -> str:
    """Where this machine's own packages come from."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {suite}"]
    places = run(targets, "apt-get does not tell its sources").split()
    if not places:
        raise NotHereError("apt has no source of this system; name one: ARM64_MIRROR=URL")
    return min(places, key=len)


def _settle(root: Path) -> None:
    """What packages' scripts would have written, as far as it is needed."""
    (root / "etc/passwd").write_text("\n".join(ACCOUNTS) + "\n")
    (root / "etc/group").write_text("\n".join(GROUPS) + "\n")
    for name in ("run/sshd", "root", "tmp", "proc", "dev", "etc/ssh"):
        (root / name).mkdir(mode=0o755, parents=True, exist_ok=True)


def _install(root: Path, uv: Path) -> list[str]:
    """Put each runtime's wheel where the root's Python looks; those that there are."""
    [library] = (root / "usr/lib").glob("python3.*")
    goal = root / "usr/local/lib" / library.name / "dist-packages"
    version = library.name.removeprefix("python")
    options = ["--target", str(goal), "--python-platform", "aarch64-manylinux_2_31"]
    options += ["--python-version", version, "--only-binary", ":all:", "--quiet"]
    have = []
    for wheel in WHEELS:
        done = subprocess.run(
            [uv, "pip", "install", *options, wheel], capture_output=True, text=True
        )
        if done.returncode == 0:
            have.append(wheel)
        else:
            print(f"no wheel of {wheel}: {done.stderr.strip().splitlines()[-1]}")
    return have
