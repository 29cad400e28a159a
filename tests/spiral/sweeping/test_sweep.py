from __future__ import annotations

import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.core.listener import Silent
from edgespiral.core.system.lock import locked
from edgespiral.spiral.sweeping.plan import load_sweep, runs_of
from edgespiral.spiral.sweeping.result import RECORD, sweep_of, write_sweep
from edgespiral.spiral.sweeping.sweep import Sweeping

PLAN = """schema = 1
[plan]
model = "net.py:net"
data = "digits"
[vary]
speedup = [1.5]
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(PLAN)
    return file


def swept(path, out):
    return Sweeping(path, out, None, Silent(), "edgespiral sweep").here()


def test_a_folder_with_a_sweep_of_another_plan_is_left_alone(path, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    plan = load_sweep(path)
    write_sweep(sweep_of(plan, runs_of(plan, "here"), out, {}, "edgespiral sweep"), out)
    before = (out / RECORD).read_bytes()
    path.write_text(PLAN.replace("net.py:net", "other.py:net"))
    with pytest.raises(RunFolderError, match="this folder holds a sweep of another plan"):
        swept(path, out)
    assert (out / RECORD).read_bytes() == before
    (out / RECORD).write_text("{}")
    with pytest.raises(RunFolderError, match=r"sweep.json: is damaged"):
        swept(path, out)


def test_two_sweeps_do_not_share_a_folder(path, tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(RunFolderError, match="another edgespiral is working in this folder"),
    ):
        swept(path, tmp_path)
