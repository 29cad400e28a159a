"""What makes files for LiteRT: a Python that is named, stood in for by scripts."""

import sys
from pathlib import Path

import pytest

from edgespiral.core.errors import MissingExtraError, ModelError, UsageError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.runtimes.litert.convert import NAMED, converting_python
from edgespiral.measure.session import Session
from edgespiral.measure.tiny import write_tiny_model, write_tiny_module


def with_litert(profile: TargetProfile, **settings: object) -> TargetProfile:
    runtime = {"kind": "litert", **settings}
    return TargetProfile.model_validate(profile.model_dump(by_alias=True) | {"runtime": runtime})


def test_a_python_without_the_converter_is_one_line_that_says_how(
    profile: TargetProfile, tmp_path: Path
) -> None:
    # Without its environment's packages, this Python has none.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    write_tiny_module(tmp_path)
    model = write_tiny_model(tmp_path / "tiny.onnx")
    told = r"needs a package that is not installed; python -m venv litert .* litert-torch"
    target = with_litert(profile, converter_python=str(bare))
    with Session(target) as session, pytest.raises(MissingExtraError, match=told):
        session.measure([model])


@pytest.mark.parametrize(
    ("writes", "problem"),
    [
        (": > model.tflite", r"cannot convert it: garbage; it wrote no ports.json"),
        (": > ports.json", r"cannot convert it: garbage; it wrote no model.tflite"),
        (": > model.tflite; echo '{' > ports.json", r"cannot convert it: ports.json is damaged"),
        (": > model.tflite; echo '[]' > ports.json", r"cannot convert it: ports.json is damaged"),
        (
            """: > model.tflite; echo '{"input_ports": [], "output_ports": [1]}' > ports.json""",
            r"LiteRT's file of it has 0 inputs, and it has 1",
        ),
        (
            """: > model.tflite; echo '{"input_ports": ["a"], "output_ports": [1]}' > ports.json""",
            r"cannot convert it: ports.json is damaged",
        ),
    ],
)
def test_what_a_converter_leaves_is_not_believed(
    profile: TargetProfile, tmp_path: Path, writes: str, problem: str
) -> None:
    converter = tmp_path / "python"
    converter.write_text(f'#!/bin/sh\n[ "$2" = -c ] && exit 0\n{writes}\necho garbage\n')
    converter.chmod(0o755)
    write_tiny_module(tmp_path)
    model = write_tiny_model(tmp_path / "tiny.onnx")
    target = with_litert(profile, converter_python=str(converter))
    with Session(target) as session, pytest.raises(ModelError, match=problem):
        session.measure([model])


def test_a_python_may_be_named_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "own").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert Path(converting_python("./own")) == tmp_path / "own"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Path(converting_python("~/own")) == tmp_path / "own"


def test_what_is_named_and_is_no_program_is_told_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match=r"^runtime.converter_python: no/python is no program"):
        converting_python("no/python")
    monkeypatch.setenv(NAMED, "none/here")
    with pytest.raises(UsageError, match=rf"^\${NAMED}: none/here is no program"):
        converting_python(None)
