"""What every test may ask for; devices are in tests/devices."""

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import warm_python
from tiers import place, tier
from torch import nn

from edgespiral.core.system.stopping import SIGNALS, STOP, Stop

pytest_plugins = ("devices", "made_once", "together")

# A shell starts background jobs with Ctrl-C ignored, and their children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Give each test the marker of its tier, and let what takes longest begin."""
    here = Path(__file__).parent
    items.sort(key=lambda item: place(item.path.relative_to(here)))
    for item in items:
        marks = frozenset(mark.name for mark in item.iter_markers())
        found = tier(item.path.relative_to(here), frozenset(item.fixturenames), marks)
        if found is not None:
            item.add_marker(found)


def pytest_collection_finish() -> None:
    """Spare later collections of garbage all that is imported and collected, which stays."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Spare the processes of whole runs their imports, before a fixture begins one."""
    warm_python.use(item.path.relative_to(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """What a test heard, and what it made signals do, is not the next one's."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    hook = sys.unraisablehook
    yield
    vars(STOP).update(vars(Stop()))
    sys.unraisablehook = hook
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def _caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's own caches are neither read nor written."""
    folder = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _empty_cache(
    _caches: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """What one test measures does not spare another its measurements."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(_caches / f"{abs(hash(request.node.nodeid)):x}"))


class Refined(nn.Module):
    """The input as it comes plus what a block says of it."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, inputs):
        return inputs + self.narrow(torch.relu(self.wide(inputs)))


@pytest.fixture(scope="session")
def in_branches():
    """A net without a stem: all that can be cut is inside of branches that can go."""
    torch.manual_seed(0)
    return nn.Sequential(Refined(), Refined(), nn.Flatten(), nn.Linear(64, 10)).eval()
