import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

Command = Callable[..., CompletedProcess[str]]
BRIEF = """
schema = 1
name = "brief"
[runtime]
kind = "onnxruntime"
[transport]
kind = "local"
[measure]
warmup_ms = 2
rounds = 5
round_ms = 0.5
min_samples = 5
"""


def line_of(done: CompletedProcess[str], name: str) -> str:
    """The mark and the text of the one line about something."""
    [line] = [line for line in done.stdout.splitlines() if line[4:].strip().startswith(f"{name} ")]
    return " ".join(line.split())


def with_own(folder: Path, name: str, text: str) -> str:
    """A path for Python on which a file comes before what is installed."""
    path = folder / "own" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return str(folder / "own")


def test_all_is_there(edgespiral: Command, tmp_path: Path) -> None:
    (tmp_path / "brief.toml").write_text(BRIEF, encoding="utf-8")
    done = edgespiral("doctor", "--target", "brief.toml")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("packages", "torch", "onnxruntime", "memory", "runs", "caches", "noise"):
        assert line_of(done, name).split()[0] in ("ok", "mind")
    assert "GiB free" in line_of(done, "runs")
    assert line_of(done, "extra android").startswith("ok extra android installed")
    assert not (tmp_path / "runs").exists()


def test_packages_that_do_not_do_are_told_and_the_rest_is_checked(
    edgespiral: Command, tmp_path: Path
) -> None:
    text = "Metadata-Version: 2.1\nName: edgespiral\nVersion: 0.1.0\nProvides-Extra: moon\n"
    needs = ("numpy>=99", "no-such-thing", "rich>=1", 'no-moon; extra == "moon"')
    text += "".join(f"Requires-Dist: {need}\n" for need in needs)
    own = with_own(tmp_path, "edgespiral-0.1.0.dist-info/METADATA", text)
    done = edgespiral("doctor", "--target", "none", PYTHONPATH=own)
    assert done.returncode == 2
    told = line_of(done, "packages")
    assert told.startswith("mend packages numpy is ")
    assert ", and >=99 is needed; no-such-thing is not installed" in told
    assert "rich" not in told
    assert line_of(done, "extra moon").endswith("pip install 'edgespiral[moon]' brings no-moon")
    assert line_of(done, "none").startswith("mend none unknown target")
    assert line_of(done, "memory")


def test_a_package_that_cannot_be_loaded(edgespiral: Command, tmp_path: Path) -> None:
    own = with_own(tmp_path, "torch.py", "raise ImportError('libc is too old')")
    done = edgespiral("doctor", PYTHONPATH=own)
    assert (done.returncode, done.stderr) == (2, "")
    assert line_of(done, "torch").startswith("mend torch cannot be loaded: ")
    assert "libc is too old" in line_of(done, "torch")
    assert "not checked" in line_of(done, "training")
    assert line_of(done, "onnxruntime").startswith("ok")


def test_a_place_that_cannot_be_written_to(edgespiral: Command, tmp_path: Path) -> None:
    (tmp_path / "brief.toml").write_text(BRIEF, encoding="utf-8")
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    done = edgespiral("doctor", "--target", "brief.toml")
    assert done.returncode == 8
    assert line_of(done, "runs").startswith(f"mend runs ({tmp_path / 'runs'}) cannot be written to")


def test_what_a_plan_needs(edgespiral: Command, tmp_path: Path) -> None:
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
