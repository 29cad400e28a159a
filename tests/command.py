"""The `edgespiral` command in the test's own process, where a process is not what is tested.

Each process of its own imports PyTorch and the engines anew, which takes longer than most of what
tests have the command do. What it changes for the whole process is set back when it ends.
"""

import importlib
import logging
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import IO

import numpy as np
import torch

from edgespiral.__main__ import main
from edgespiral.core.system.stopping import SIGNALS, STOP, Stop

# That of a generator nobody has seeded, so that what is random is as in a new process.
TORCH_SEED = torch.random.default_generator.initial_seed()
PLAIN = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}

Done = subprocess.CompletedProcess[str]


def command(*words: object, folder: Path | None = None, **environment: str) -> Done:
    """Run `edgespiral WORDS` and return what it printed and its exit code.

    Args:
        words: as in a shell.
        folder: where it runs; here if None.
        environment: variables beside those of this process.
    """
    return _here(main, ["edgespiral", *map(str, words)], folder, environment)


def script(path: Path, *words: object, folder: Path, **environment: str) -> Done:
    """As `command`, of a program of its own: `python PATH WORDS`."""
    program = partial(runpy.run_path, str(path), run_name="__main__")
    return _here(program, [str(path), *map(str, words)], folder, environment)


def _here(
    program: Callable[[], object], argv: list[str], folder: Path | None, environment: dict[str, str]
) -> Done:
    with ExitStack() as stack:
        for kept in (_modules, _signals, _libraries):
            stack.enter_context(kept())
        stack.enter_context(_process(argv, folder, {**PLAIN, **environment}))
        stdout, stderr = (stack.enter_context(_caught(number)) for number in (1, 2))
        code = _exit_code(program)
        sys.stdout.flush()
        sys.stderr.flush()
        texts = [_content(file) for file in (stdout, stderr)]
    return subprocess.CompletedProcess(argv, code, *texts)


def in_process(*words: object, folder: Path | None = None, **environment: str) -> Done:
    """As `command`, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "edgespiral", *map(str, words)],
        cwd=folder,
        env={**os.environ, **PLAIN, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def _exit_code(program: Callable[[], object]) -> int:
    try:
        program()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@contextmanager
def _caught(number: int) -> Iterator[IO[bytes]]:
    """What is written to a standard stream, by native code and other processes too."""
    name = {1: "stdout", 2: "stderr"}[number]
    before, stream = os.dup(number), getattr(sys, name)
    stream.flush()
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), number)
        own = os.fdopen(os.dup(number), "w", encoding="utf-8", buffering=1)
        setattr(sys, name, own)
        try:
            yield file
        finally:
            setattr(sys, name, stream)
            own.close()
            os.dup2(before, number)
            os.close(before)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8")


@contextmanager
def _process(argv: list[str], folder: Path | None, environment: dict[str, str]) -> Iterator[None]:
    """Words, folder, environment and temporary folder of the command."""
    before = sys.argv, Path.cwd(), dict(os.environ), tempfile.tempdir
    sys.argv, tempfile.tempdir = argv, None
    os.environ.update(environment)
    os.chdir(folder or Path.cwd())
    try:
        yield
    finally:
        sys.argv, here, variables, tempfile.tempdir = before
        os.chdir(here)
        os.environ.clear()
        os.environ.update(variables)


@contextmanager
def _signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    hook = sys.unraisablehook
    try:
        yield
    finally:
        vars(STOP).update(vars(Stop()))
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _modules() -> Iterator[None]:
    """A user's modules are imported anew by the next command: its folder may have others."""
    path, before = list(sys.path), dict(sys.modules)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in sys.modules.keys() - before.keys():
            if _is_a_users(sys.modules[name]):
                del sys.modules[name]
        importlib.invalidate_caches()


def _is_a_users(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(tempfile.gettempdir())


@contextmanager
def _libraries() -> Iterator[None]:
    """Random numbers as in a new process; threads, warnings and logging as they were."""
    drawn = torch.get_rng_state(), random.getstate(), np.random.get_state()
    threads, level = torch.get_num_threads(), logging.root.level
    handlers = list(logging.root.handlers)
    torch.manual_seed(TORCH_SEED)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        torch.set_rng_state(drawn[0])
        random.setstate(drawn[1])
        np.random.set_state(drawn[2])
        torch.set_num_threads(threads)
        logging.root.setLevel(level)
        logging.root.handlers[:] = handlers
