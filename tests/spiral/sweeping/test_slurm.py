from __future__ import annotations

import shlex
import subprocess

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.core.listener import Silent
from edgespiral.spiral.sweeping.sweep import Sweeping

ODD = "o'u\"t $(touch made) `touch made` ; # & %a"


def script(path, out):
    _, written = Sweeping(path, out, 2, Silent(), "edgespiral sweep").for_slurm()
    assert written is not None
    return written


def test_a_folder_s_name_orders_the_shell_nothing(sweep_file, tmp_path):
    path = sweep_file("[vary]\nseed = [0, 1]\n")
    written = script(path, tmp_path / ODD)
    lines = written.read_text().splitlines()
    options = [line for line in lines if line.startswith("#SBATCH")]
    assert [shlex.split(line)[1] for line in options] == [
        "--job-name=edgespiral",
        "--array=0-1%2",
        # SLURM reads two percent signs as one.
        f"--output={tmp_path}/{ODD.replace('%', '%%')}/slurm-%a.log",
    ]
    first = next(line for line in lines if line.startswith("0) "))
    words = shlex.split(first.removesuffix(";;"), comments=False)
    assert words[1] == "exec"
    assert next(word for word in words if word.endswith(".toml")).startswith(f"{tmp_path}/{ODD}/")
    assert subprocess.run(["bash", "-n", str(written)], check=False).returncode == 0
    asked = {"SLURM_ARRAY_TASK_ID": "7; touch made"}
    done = subprocess.run(["bash", str(written)], env=asked, cwd=tmp_path, capture_output=True)
    assert done.returncode == 2
    assert not list(tmp_path.rglob("made"))


def test_a_folder_whose_name_would_be_two_lines_is_refused(sweep_file, tmp_path):
    path = sweep_file("[vary]\nseed = [0]\n")
    out = tmp_path / "a\ntouch made\n"
    with pytest.raises(UsageError, match="cannot be written into a script"):
        script(path, out)
    assert not list(tmp_path.rglob("*.sbatch"))
