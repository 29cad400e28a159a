"""The processes that train one student together, as PyTorch's launcher numbers them.

Rank 0 has the run: its folder, its journal, planning, cutting, exporting and measuring. The others
wait until they are told to train, and ask a store for it every now and then: a collective operation
that waits has a time-out, keeps a GPU busy and lets no signal through.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from edgespiral.core.errors import ProcessLostError, UsageError
from edgespiral.core.system.files import writing
from edgespiral.core.system.launched import ADDRESS, STEP_TIMEOUT, is_launched, place_on_machine
from edgespiral.distill.compute import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

# Of what all do together beside steps; nobody enters it before the others are known to be there.
FILES_TIMEOUT = timedelta(days=30)
# How soon a store is asked again: what comes at once is not waited for, and what takes hours costs
# little.
ASKED_AFTER_S, ASKED_EVERY_S, SLOWER = 0.002, 0.1, 1.2
CHUNK_BYTES = 2**26
FAILED, HEARD, END = "failed", "heard", "end"
# How long a process that failed waits for the first one to tell of it.
HEARD_WITHIN_S = 3.0


@dataclass(frozen=True, eq=False)
class World:
    """One of the processes of a run.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        device: what it trains on, as `--device` has it.
        store: texts that all can read; None where there is one process.
        control: a group of all on the CPU.
    """

    rank: int = 0
    size: int = 1
    device: str = AUTO
    store: Any = None
    control: Any = None
    _orders: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _shares: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def is_first(self) -> bool:
        """Whether it has the run."""
        return self.rank == 0

    @property
    def is_on_one_machine(self) -> bool:
        """Whether all processes see the same files, as those of one machine do."""
        return self.size == 1 or place_on_machine()[1] == self.size

    @property
    def name(self) -> str:
        """What errors call this process."""
        host = os.uname().nodename
        return f"process {self.rank} ({self.device} of {host})" if self.size > 1 else self.device

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes, in each of them the same."""
        if self.size > 1:
            distributed.all_reduce(value)
            value /= self.size
        return value

    def any(self, *flags: bool) -> list[bool]:
        """Which of the flags some process has set."""
        if self.size == 1:
            return list(flags)
        shared = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX, group=self.control)
        return [bool(flag) for flag in shared]

    def post(self, key: str, text: str) -> None:
        """Have all processes read `text`.

        Raises:
            ProcessLostError: the process that keeps it is gone.
        """
        with _reaching():
            self.store.set(key, text)

    def wait(self, key: str) -> str:
        """What was posted as `key`, however long it takes; signals are heard meanwhile.

        Raises:
            ProcessLostError: the process that keeps it is gone.
        """
        with _reaching():
            pauses = _pauses_s()
            while not self.store.check([key]):
                time.sleep(next(pauses))
            text: bytes = self.store.get(key)
        return text.decode()

    def order(self, folder: Path) -> None:
        """Send all files of `folder` to the other processes, which `orders` hands them."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [str(path.relative_to(folder)) for path in paths]
        sizes = [path.stat().st_size for path in paths]
        self.post(f"order {next(self._orders)}", json.dumps([names, sizes]))
        for path in paths:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    self._broadcast(torch.frombuffer(bytearray(chunk), dtype=torch.uint8))

    def next_order(self, folder: Path) -> bool:
        """Wait for the next files, and write them to `folder`; False where the run has ended."""
        text = self.wait(f"order {next(self._orders)}")
        if text == END:
            return False
        for name, size in zip(*json.loads(text), strict=True):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with writing(path), path.open("wb") as file:
                for at in range(0, size, CHUNK_BYTES):
                    chunk = torch.empty(min(CHUNK_BYTES, size - at), dtype=torch.uint8)
                    file.write(self._broadcast(chunk).numpy().tobytes())
        return True

    def give(self, share: bytes) -> None:
        """Send the first process this one's share of what it has ordered; see `gathered`.

        Raises:
            ProcessLostError: the first process is gone.
        """
        self.post(f"share {next(self._shares)} {self.rank}", str(len(share)))
        for at in range(0, len(share), CHUNK_BYTES):
            chunk = bytearray(share[at : at + CHUNK_BYTES])
            with _reaching():
                distributed.send(torch.frombuffer(chunk, dtype=torch.uint8), 0, group=self.control)

    def gathered(self) -> Iterator[bytes]:
        """Yield what each other process gives, in the order of their numbers.

        Raises:
            ProcessLostError: one of them is gone, or has failed; its own words then.
        """
        number = next(self._shares)
        for rank in range(1, self.size):
            size = int(self._from_living(f"share {number} {rank}"))
            share = bytearray()
            while len(share) < size:
                chunk = torch.empty(min(CHUNK_BYTES, size - len(share)), dtype=torch.uint8)
                with _reaching():
                    distributed.recv(chunk, rank, group=self.control)
                share += chunk.numpy().tobytes()
            yield bytes(share)

    def _from_living(self, key: str) -> str:
        """What another process posts as `key`, unless one says that it fails."""
        pauses = _pauses_s()
        with _reaching():
            while not self.store.check([key]):
                words = self.failure()
                if words is not None:
                    raise ProcessLostError(words, hint="go on with --resume once it is mended")
                time.sleep(next(pauses))
        return self.wait(key)

    def fail(self, words: str, *, heard_within_s: float = HEARD_WITHIN_S) -> bool:
        """Say that this process fails, and why; whether the first one has heard of it in time."""
        with suppress(ProcessLostError):
            self.post(FAILED, words)
            # Closed, so that others which wait for this process do so no longer.
            with suppress(Exception):
                distributed.destroy_process_group()
            until = time.monotonic() + heard_within_s
            while True:
                with _reaching():
                    if self.store.check([HEARD]):
                        return True
                if time.monotonic() > until:
                    return False
                time.sleep(ASKED_EVERY_S)
        return False

    def failure(self) -> str | None:
        """Why another process has failed, if it has said so."""
        with suppress(ProcessLostError), _reaching():
            if self.store.check([FAILED]):
                self.store.set(HEARD, "")
                words: bytes = self.store.get(FAILED)
                return words.decode()
        return None

    def end(self) -> None:
        """Have the others end, too."""
        with suppress(ProcessLostError):
            self.post(f"order {next(self._orders)}", END)

    def _broadcast(self, chunk: Tensor) -> Tensor:
        try:
            distributed.broadcast(chunk, 0, group=self.control)
        except RuntimeError as error:
            raise _lost() from error
        return chunk


def _pauses_s() -> Iterator[float]:
    pause_s = ASKED_AFTER_S
    while True:
        yield pause_s
        pause_s = min(pause_s * SLOWER, ASKED_EVERY_S)


ALONE = World()
_PRESENT: ContextVar[World] = ContextVar("world", default=ALONE)


def present() -> World:
    """The world that `joined` made of the processes of this run."""
    return _PRESENT.get()


@contextmanager
def among(world: World) -> Iterator[None]:
    """Inside, `present` is this world."""
    token = _PRESENT.set(world)
    try:
        yield
    finally:
        _PRESENT.reset(token)


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Inside, this process is one of those that the launcher has started, or alone.

    Args:
        device: as `--device` has it; `auto` gives each process of a machine a GPU of its own.

    Raises:
        UsageError: there are fewer GPUs than processes, or one GPU is named for all.
        ProcessLostError: the others did not come.
    """
    if not is_launched():
        yield ALONE
        return
    world = _join(_own_device(device))
    with among(world):
        try:
            yield world
        finally:
            if world.is_first:
                world.end()
    with suppress(Exception):
        distributed.destroy_process_group()


def _own_device(device: str) -> str:
    local, processes = place_on_machine()
    if device == AUTO:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            return "cpu"
        if processes > count:
            raise UsageError(
                f"{processes} processes on this machine, and {count} GPUs",
                where="--devices",
                hint=f"start {count}, or train on the CPU with --device cpu",
            )
        return f"cuda:{local}"
    if device != "cpu":
        raise UsageError(
            f"{device!r} cannot be the device of several processes",
            where="--device",
            hint="auto gives each a GPU; CUDA_VISIBLE_DEVICES says which there are",
        )
    return device


def _join(device: str) -> World:
    backend = "gloo"
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device))
        backend = "cpu:gloo,cuda:nccl"
    try:
        store, rank, size = next(rendezvous("env://", timeout=STEP_TIMEOUT))
        distributed.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=STEP_TIMEOUT
        )
        control = distributed.new_group(backend="gloo", timeout=FILES_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        words = str(error).splitlines()[0]
        raise ProcessLostError(
            f"the processes of this run do not find each other: {words}",
            where=f"{os.environ[ADDRESS]}:{os.environ.get('MASTER_PORT', '')}",
            hint="start as many on each machine as the launcher was told, all by one address",
        ) from error
    return World(rank, size, device, store, control)


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise _lost() from error


def _lost() -> ProcessLostError:
    return ProcessLostError(
        "a process of this run is gone", hint="go on from the last checkpoint with --resume"
    )
