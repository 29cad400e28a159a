"""A command started in several processes, by PyTorch's own launcher."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from typing import TYPE_CHECKING

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from edgespiral.core.errors import ExitCode, UsageError
from edgespiral.core.system.launched import STEP_TIMEOUT
from edgespiral.core.system.process_state import usable_cores
from edgespiral.core.system.stopping import SHELL_SIGNAL_BASE
from edgespiral.distill.compute import AUTO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgespiral.core.listener import Listener

ALL = "all"
MOST_RESTARTS = 3
THREADS = "OMP_NUM_THREADS"
LOGS = ("torch.distributed.elastic", "torch.distributed.launcher", "torch.multiprocessing")


def process_count(devices: int | str, device: str = AUTO) -> int:
    """How many processes `--devices` asks for.

    Args:
        devices: a number, or `all`, which is a process for each GPU.
        device: as `--device` has it.

    Raises:
        UsageError: there are no GPUs, or fewer.
    """
    is_on_gpu = device != "cpu" and torch.cuda.is_available()
    count = torch.cuda.device_count() if is_on_gpu else 0
    if devices == ALL:
        if not count:
            raise UsageError(
                "there is no GPU here that PyTorch can use",
                where="--devices",
                hint="a number, such as 2, trains in so many processes on the CPU",
            )
        return count
    if count and int(devices) > count:
        raise UsageError(
            f"{devices} devices are asked for, and this machine has {count} GPUs", where="--devices"
        )
    return int(devices)


def launched(
    processes: int, words: Sequence[str], listener: Listener, *, most_restarts: int = MOST_RESTARTS
) -> int:
    """Run `edgespiral` in several processes of this machine; what the first one ends with.

    Where a process is killed, all are started again and go on from the last checkpoint.

    Args:
        processes: how many.
        words: of the command line, without `edgespiral`.
        listener: hears of restarts.
        most_restarts: how often they are started again.
    """
    for name in LOGS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # What PyTorch's own C++ warns of, such as that it looked for unused parameters and saw none.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault(THREADS, str(max(1, usable_cores() // processes)))
    words = list(words)
    for left in range(most_restarts, -1, -1):
        try:
            _launch(processes)(sys.executable, *("-m", "edgespiral", *words))
        except SignalException as stopped:
            return SHELL_SIGNAL_BASE + int(stopped.sigval)
        except ChildFailedError as failed:
            codes = {rank: failure.exitcode for rank, failure in failed.failures.items()}
            killed = {rank: -code for rank, code in codes.items() if code < 0}
            if not killed or not left:
                return _code(codes)
            rank, number = _first_killed(killed)
            listener.say(
                f"process {rank} was killed by {signal.Signals(number).name}{_why(number)}: all "
                "start again from the last checkpoint"
            )
            words += [] if "--resume" in words else ["--resume"]
        else:
            break
    return ExitCode.OK


def _first_killed(killed: Mapping[int, int]) -> tuple[int, int]:
    """The process that others may have ended for, and the signal that ended it.

    One that another's end takes by surprise may abort itself or crash while it cleans up, and the
    launcher asks those that are left to end. None of them is ended by SIGKILL, but where it does
    not do as it is asked to, and that is seen last.

    Args:
        killed: signals by rank, as they were seen.
    """
    consequences = (signal.SIGABRT, signal.SIGTERM)
    return min(
        killed.items(), key=lambda item: (item[1] != signal.SIGKILL, item[1] in consequences)
    )


def _why(number: int) -> str:
    """What such a signal often means here."""
    if number == signal.SIGABRT:
        return f" (as NCCL does where another has not answered for {STEP_TIMEOUT})"
    return " (as the system does where memory is short)" if number == signal.SIGKILL else ""


def _launch(processes: int) -> Callable[..., object]:
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        run_id=uuid.uuid4().hex,
        max_restarts=0,
    )

    def run(program: str, *words: str) -> object:
        return elastic_launch(config, program)(*words)

    return run


def _code(codes: Mapping[int, int]) -> int:
    """What a command ends with whose processes ended with `codes`: as the first one, if it can.

    One that fails has the launcher end the others, whose own end then says nothing.
    """
    ended = SHELL_SIGNAL_BASE + signal.SIGTERM
    own = {rank: code for rank, code in codes.items() if code != ended} or codes
    code = own.get(0) or max(own.values())
    return code if code > 0 else ExitCode.TRAINING
