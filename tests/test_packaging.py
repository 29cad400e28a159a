"""What a source archive and a wheel hold, and how a user's program fares with the wheel."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import edgespiral

ROOT = Path(__file__).parents[1]
BUILT_IN = {"targets": "_targets", "calibration": "_calibration"}
SCRIPT = """
from pathlib import Path

from torch import nn

import edgespiral


def halve(net: nn.Module, out: Path) -> float:
    plan = edgespiral.Plan(speedup=2, max_drop=1.5, epochs=4)
    try:
        small: edgespiral.Compressed = edgespiral.compress(net, "digits", plan, out=out)
    except (edgespiral.DataError, edgespiral.TargetError) as error:
        raise SystemExit(str(error)) from error
    return small.result.devices[0].speedup.value


with edgespiral.Session(edgespiral.load_profile("host-cpu")) as session:
    latencies: list[edgespiral.Measurement] = session.measure([Path("model.onnx")])
"""
# What an untyped package would let through.
WRONG = 'import edgespiral\n\nspeedup: str = edgespiral.compress("m", "digits").result.best_turn\n'


def python(code: str, folder: Path, *words: str) -> str:
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(kind: str, source: Path, out: Path) -> Path:
    """An archive of `source`, made by the hook that every installer calls."""
    code = f"import sys; from setuptools import build_meta as b; b.build_{kind}(sys.argv[1])"
    python(code, source, str(out))
    [archive] = [*out.glob("*.tar.gz")] if kind == "sdist" else [*out.glob("*.whl")]
    return archive


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source archive of what git tracks or would, links kept as links."""
    checkout, listed = tmp_path_factory.mktemp("checkout"), ("git", "ls-files", "-z")
    command = [*listed, "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    pytest.importorskip("setuptools")
    for name in filter(None, done.stdout.split("\0")):
        source, copy = ROOT / name, checkout / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            copy.symlink_to(source.readlink())
        elif source.is_file():
            copy.write_bytes(source.read_bytes())
    return built("sdist", checkout, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made of the source archive alone, as an index or a distribution does."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    [source] = unpacked.iterdir()
    return built("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that has the wheel, and sees what this one has installed."""
    folder = tmp_path_factory.mktemp("environment")
    python("import sys, venv; venv.create(sys.argv[1], with_pip=True)", folder, str(folder))
    own = folder / "bin" / "python"
    here, there = (
        subprocess.run(
            [path, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for path in (sys.executable, own)
    )
    # After the environment's own packages, so that the wheel comes before a checkout.
    Path(there, "beside.pth").write_text(f"{here}\n")
    install = [own, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, capture_output=True)
    return own


def shipped(folder: str) -> set[str]:
    return {path.name for path in (ROOT / folder).glob("*.toml")}


def test_the_source_archive_has_files_in_place_of_links(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    assert [member.name for member in members if member.issym() or member.islnk()] == []
    names = {member.name.partition("/")[2] for member in members if member.isfile()}
    for folder, inside in BUILT_IN.items():
        found = {Path(name).name for name in names if name.startswith(f"edgespiral/{inside}/")}
        assert found == shipped(folder) != set()
    assert {"LICENSE", "README.md", "CHANGELOG.md", "docs/plan.md", "edgespiral/py.typed"} <= names
    assert [name for name in names if name.startswith(("tests/", "bench/", "runs/"))] == []


def test_the_wheel_has_all_that_runs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder, inside in BUILT_IN.items():
        found = {Path(name).name for name in names if name.startswith(f"edgespiral/{inside}/")}
        assert found == shipped(folder)
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "edgespiral").rglob("*.py")}
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "edgespiral").rglob("*.j2")}
    assert sources | templates | {"edgespiral/py.typed"} <= names
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"edgespiral"}


def test_the_wheel_says_whose_and_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        facts = message_from_bytes(archive.read(metadata))
        folder = metadata.rpartition("/")[0]
        licence = archive.read(f"{folder}/licenses/LICENSE").decode()
    assert facts["Version"] == edgespiral.__version__
    assert facts["License-Expression"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert "Typing :: Typed" in facts.get_all("Classifier", [])
    assert facts["Requires-Python"] == "<3.14,>=3.11"


def test_the_installed_command_finds_what_came_along(installed: Path, tmp_path: Path) -> None:
    command = installed.with_name("edgespiral")
    listed = subprocess.run(
        [command, "targets", "list"], cwd=tmp_path, capture_output=True, text=True
    )
    assert listed.returncode == 0, listed.stderr
    assert {name.removesuffix(".toml") for name in shipped("targets")} <= set(listed.stdout.split())
    assert str(ROOT) not in listed.stdout


def test_a_users_programs_are_checked_against_the_wheels_types(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "right.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text(WRONG)
    # PyTorch's own types take a minute to read, and are not what is asked about.
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-torch.*]\nfollow_imports = skip\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", installed]
    words = [*command, "right.py", "wrong.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    line, summary = done.stdout.splitlines()
    assert line.startswith("wrong.py:3: error: Incompatible types in assignment"), done.stdout
    assert summary.startswith("Found 1 error in 1 file (checked 2 source files)")


def test_a_container_gets_all_that_a_wheel_is_made_of(wheel: Path, tmp_path: Path) -> None:
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert allowed[0] == "*"
    source = tmp_path / "source"
    source.mkdir()
    for name in (line.removeprefix("!") for line in allowed if line.startswith("!")):
        place = ROOT / name
        if place.is_dir():
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(place, source / name, symlinks=True, ignore=skipped)
        else:
            shutil.copy(place, source)
    made = built("wheel", source, tmp_path / "out")
    first, second = (set(zipfile.ZipFile(path).namelist()) for path in (wheel, made))
    assert first == second
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        for path in re.findall(r"/source/([\w./]+\w)", line):
            assert (source / path).exists(), path
