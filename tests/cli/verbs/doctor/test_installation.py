from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

Command = Callable[..., CompletedProcess[str]]
LineOf = Callable[[CompletedProcess[str], str], str]


def with_own(folder: Path, name: str, text: str) -> str:
    """A path for Python on which a file comes before what is installed."""
    path = folder / "own" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return str(folder / "own")


def test_packages_that_do_not_do_are_told_and_the_rest_is_checked(
    edgespiral_process: Command, line_of: LineOf, tmp_path: Path
) -> None:
    text = "Metadata-Version: 2.1\nName: edgespiral\nVersion: 0.1.0\nProvides-Extra: moon\n"
    needs = ("numpy>=99", "no-such-thing", "rich>=1", 'no-moon; extra == "moon"')
    text += "".join(f"Requires-Dist: {need}\n" for need in needs)
    own = with_own(tmp_path, "edgespiral-0.1.0.dist-info/METADATA", text)
    done = edgespiral_process("doctor", "--target", "none", PYTHONPATH=own)
    assert done.returncode == 2
    told = line_of(done, "packages")
    assert told.startswith("mend packages numpy is ")
    assert ", and >=99 is needed; no-such-thing is not installed" in told
    assert "rich" not in told
    assert line_of(done, "extra moon").endswith("pip install 'edgespiral[moon]' brings no-moon")
    assert line_of(done, "none").startswith("mend none unknown target")
    assert line_of(done, "memory")


def test_a_package_that_cannot_be_loaded(
    edgespiral_process: Command, line_of: LineOf, tmp_path: Path
) -> None:
    own = with_own(tmp_path, "torch.py", "raise ImportError('libc is too old')")
    done = edgespiral_process("doctor", PYTHONPATH=own)
    assert (done.returncode, done.stderr) == (2, "")
    assert line_of(done, "torch").startswith("mend torch cannot be loaded: ")
    assert "libc is too old" in line_of(done, "torch")
    assert "not checked" in line_of(done, "training")
    assert line_of(done, "onnxruntime").startswith("ok")
