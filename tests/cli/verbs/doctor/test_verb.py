import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from brief_target import BRIEF

Command = Callable[..., CompletedProcess[str]]
LineOf = Callable[[CompletedProcess[str], str], str]


def test_all_is_there(edgespiral: Command, line_of: LineOf, tmp_path: Path) -> None:
    (tmp_path / "brief.toml").write_text(BRIEF, encoding="utf-8")
    done = edgespiral("doctor", "--target", "brief.toml")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("packages", "torch", "onnxruntime", "memory", "runs", "caches", "noise"):
        assert line_of(done, name).split()[0] in ("ok", "mind")
    assert "GiB free" in line_of(done, "runs")
    assert line_of(done, "extra android").startswith("ok extra android installed")
    assert not (tmp_path / "runs").exists()


def test_a_place_that_cannot_be_written_to(
    edgespiral: Command, line_of: LineOf, tmp_path: Path
) -> None:
    (tmp_path / "brief.toml").write_text(BRIEF, encoding="utf-8")
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    done = edgespiral("doctor", "--target", "brief.toml")
    assert done.returncode == 8
    told = line_of(done, "runs")
    assert told.startswith("mend runs ")
    assert told.endswith(f"{tmp_path / 'runs'} cannot be written to")


def test_what_a_plan_needs(edgespiral: Command, line_of: LineOf, tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "odd.toml").write_text("schema = 1\nnot toml", encoding="utf-8")
    (tmp_path / "brief.toml").write_text(BRIEF, encoding="utf-8")
    plan = tmp_path / "plan.toml"
    text = 'schema = 1\nmodel = "resnet20"\ndata = "digits"\ntarget = "brief.toml"\nspeedup = 2\n'
    plan.write_text(text + 'weights = "w.pt"\n', encoding="utf-8")
    done = edgespiral("doctor", "--config", "plan.toml")
    assert done.returncode == 2
    assert "plan.toml:weights: w.pt: no such file" in done.stdout
    assert line_of(done, "target odd").startswith("mind target odd ")
    assert line_of(done, "target").startswith("ok target brief: onnxruntime")

    (tmp_path / "w.pt").touch()
    done = edgespiral("doctor", "--config", "plan.toml")
    assert done.returncode == 0, done.stdout
    assert "would be compressed to 2x as fast on brief.toml" in line_of(done, "plan.toml")


def test_a_plan_that_is_not_there_is_an_error(edgespiral: Command) -> None:
    done = edgespiral("doctor", "--config", f"gone{os.sep}plan.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: gone/plan.toml: cannot be read")
