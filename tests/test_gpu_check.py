"""The script for machines with a GPU: here it says that there is none."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).parents[1] / "bench"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_checks_nothing(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        ["sh", str(BENCH / "gpu_check.sh"), "--json", str(out)],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("skipped: no GPU that PyTorch can use; --on-cpu tries")
    assert not out.exists()


def test_what_a_machine_cannot_check_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["gpu_check.py", "--only", "engines", "--on-cpu", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCH / "gpu_check.py"), run_name="__main__")
    assert ended.value.code == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["outcome"] == "skipped"
    assert answer["reason"]
