"""Damage to a file, whatever its format: its bytes, and what lies in its place."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from random import Random

SPARSE_BYTES = 3 << 30


def flip_bits(content: bytes, random: Random) -> bytes:
    """Turn some bits over."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 64)) if changed else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def flip_early_bits(content: bytes, random: Random) -> bytes:
    """Turn a bit over where formats have their headers."""
    head = flip_bits(content[:512], random)
    return head + content[512:]


def truncate(content: bytes, random: Random) -> bytes:
    """Cut it off."""
    return content[: random.randrange(len(content) or 1)]


def cut_out(content: bytes, random: Random) -> bytes:
    """Take a piece out of the middle."""
    start, end = sorted(random.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + content[end:]


def splice(content: bytes, random: Random) -> bytes:
    """Copy a piece to another place."""
    start = random.randrange(len(content) or 1)
    piece = content[start : start + random.choice((1, 8, 64, 4096))]
    goal = random.randrange(len(content) + 1)
    return content[:goal] + piece + content[goal + random.choice((0, len(piece))) :]


def insert_noise(content: bytes, random: Random) -> bytes:
    """Put random bytes in."""
    goal = random.randrange(len(content) + 1)
    return content[:goal] + random.randbytes(random.choice((1, 4, 256))) + content[goal:]


def blank(content: bytes, random: Random) -> bytes:
    """Zeros in the place of a block, as a crash leaves them."""
    start = random.randrange(len(content) or 1)
    size = min(random.choice((16, 512, 4096)), len(content) - start)
    return content[:start] + bytes(size) + content[start + size :]


def append_noise(content: bytes, random: Random) -> bytes:
    """Random bytes after its end."""
    return content + random.randbytes(random.choice((1, 100, 10_000)))


def twice(content: bytes, _: Random) -> bytes:
    """Its content two times."""
    return content + content


def empty(_: bytes, __: Random) -> bytes:
    """Nothing."""
    return b""


def noise(content: bytes, random: Random) -> bytes:
    """Nothing but random bytes."""
    return random.randbytes(min(len(content), 4096) or 1)


BYTES: Sequence[Callable[[bytes, Random], bytes]] = (
    *(flip_bits, flip_early_bits, flip_early_bits, truncate, cut_out, splice, insert_noise),
    *(blank, append_noise, twice, empty, noise),
)


def link_to_itself(path: Path, _: Random) -> None:
    """A symbolic link that never ends."""
    path.symlink_to(path.name)


def dangling_link(path: Path, _: Random) -> None:
    """A symbolic link to nothing."""
    path.symlink_to("nowhere")


def link_to_precious(path: Path, _: Random) -> None:
    """A symbolic link to a file of the user's."""
    path.symlink_to("../home/precious")


def pipe(path: Path, _: Random) -> None:
    """A named pipe that nobody writes to."""
    os.mkfifo(path)


def folder(path: Path, _: Random) -> None:
    """A folder."""
    path.mkdir()


def endless(path: Path, _: Random) -> None:
    """A link to a device that has no end."""
    path.symlink_to("/dev/zero")


def nothing(_: Path, __: Random) -> None:
    """No file at all."""


def sparse(path: Path, _: Random) -> None:
    """A file that says it has 3 GiB, and takes no room."""
    with path.open("wb") as stream:
        stream.truncate(SPARSE_BYTES)


def unreadable(path: Path, _: Random) -> None:
    """A file that may not be read."""
    path.write_bytes(b"secret")
    path.chmod(0)


def listening(path: Path, _: Random) -> None:
    """A socket."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


IN_ITS_PLACE: Sequence[Callable[[Path, Random], None]] = (
    *(link_to_itself, dangling_link, link_to_precious, pipe, folder, endless, nothing, sparse),
    *(unreadable, listening),
)


def damage_bytes(path: Path, random: Random) -> str:
    """Damage a file's bytes; says how."""
    edit = random.choice(BYTES)
    path.write_bytes(edit(path.read_bytes(), random))
    return edit.__name__


def replace_file(path: Path, random: Random) -> str:
    """Put something else in a file's place; says what."""
    replace = random.choice(IN_ITS_PLACE)
    path.unlink()
    replace(path, random)
    return replace.__name__
