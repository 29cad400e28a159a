"""What runtimes share that convert models."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgespiral.core.errors import ModelError
from edgespiral.measure.runtimes import converting
from edgespiral.measure.runtimes.converting import run_converter


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; print('all well'); sys.exit('no such operator')", "no such operator"),
        ("print('nothing made')", "nothing made"),
        ("pass", "without a word"),
    ],
)
def test_what_a_converter_says_last_is_the_reason(
    tmp_path: Path, program: str, reason: str
) -> None:
    with pytest.raises(ModelError, match=f"Maker cannot convert it: {reason}"):
        run_converter("Maker", [sys.executable, "-c", program], tmp_path, ["made"], Path("m.onnx"))


def test_a_converter_that_says_all_is_well_has_to_leave_its_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("somebody's own")
    for program in ("print('done')", "import os; os.symlink('elsewhere', 'made'); print('done')"):
        with pytest.raises(ModelError, match="cannot convert it: done; it wrote no made"):
            run_converter("Maker", [sys.executable, "-c", program], tmp_path, ["made"], Path("m"))


def test_a_converter_that_hangs_ends_with_all_that_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converting, "LONGEST_S", 0.5)
    os.mkfifo(tmp_path / "held")
    # The child has the converter's streams too, which would be waited for.
    command = ["/bin/sh", "-c", "sleep 600 3>held & exec sleep 600"]
    with ThreadPoolExecutor() as workers:
        held = workers.submit((tmp_path / "held").read_bytes)
        with pytest.raises(ModelError, match=r"Maker cannot convert it: not done after 0\.5 s"):
            run_converter("Maker", command, tmp_path, ["made"], Path("m.onnx"))
        assert held.result() == b""
