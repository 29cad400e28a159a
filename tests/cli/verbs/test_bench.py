import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from brief_target import BRIEF

from edgespiral.core.errors import GateCode
from edgespiral.measure.tiny import write_tiny_model

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def suite(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a suite of one tiny model, with these keys in its table."""
    (tmp_path / "brief.toml").write_text(BRIEF)
    write_tiny_model(tmp_path / "tiny.onnx")

    def write(keys: str = "") -> Path:
        path = tmp_path / "edgespiral-bench.toml"
        path.write_text(
            'schema = 1\ntarget = "./brief.toml"\ntime_limit_s = 2\n'
            f'[[model]]\npath = "tiny.onnx"\n{keys}\n'
        )
        return path

    return write


@pytest.mark.parametrize(
    ("keys", "code", "verdict"),
    [
        ("", GateCode.PASS, "measured"),
        ("budget_ms = 1000", GateCode.PASS, "met"),
        ("budget_ms = 1e-6", GateCode.REGRESSION, "missed"),
        ("shape = [9, 9]", GateCode.ERROR, "error"),
    ],
)
def test_the_exit_code_is_the_verdict(
    edgespiral: Command, suite: Callable[[str], Path], keys: str, code: int, verdict: str
) -> None:
    suite(keys)
    done = edgespiral("bench")
    assert done.returncode == code
    assert f"edgespiral-bench on brief: {verdict} (1 of 1 model)" in done.stdout
    assert f"tiny: {verdict}" in done.stderr


def test_brackets_in_a_name_are_no_markup(
    edgespiral: Command, suite: Callable[[str], Path]
) -> None:
    suite('name = "a[/b]"')
    done = edgespiral("bench")
    assert done.returncode == GateCode.PASS
    assert "a[/b]: measured" in done.stderr


def test_undecided_has_its_own_code(edgespiral: Command, suite: Callable[[str], Path]) -> None:
    # No interval is as narrow as this tolerance, and the first look is the last.
    path = suite("tolerance_percent = 1e-9")
    path.write_text(path.read_text().replace("time_limit_s = 2", "time_limit_s = 1e-9"))
    write_tiny_model(path.with_name("old.onnx"))
    done = edgespiral("bench", "--against", "old.onnx")
    assert "compared with old.onnx" in done.stdout
    assert (done.returncode == GateCode.UNDECIDED) == (
        "undecided: raise time_limit_s" in done.stdout
    )
    assert done.returncode in (GateCode.UNDECIDED, GateCode.PASS, GateCode.REGRESSION)


def test_the_result_is_json_with_every_sample(
    edgespiral: Command, suite: Callable[[str], Path], tmp_path: Path
) -> None:
    suite("")
    done = edgespiral("bench", "run", "edgespiral-bench.toml", "--json", "--out", "result.json")
    printed = json.loads(done.stdout)
    assert json.loads((tmp_path / "result.json").read_text()) == printed
    [case] = printed["cases"]
    assert printed["schema_version"] == 2
    assert case["measurement"]["stats"]["count"] == sum(map(len, case["measurement"]["rounds_ms"]))
    assert case["measurement"]["fingerprint"]["runtime"] == "onnxruntime"
    assert printed["git_commit"] is None


def test_ci_systems_get_their_formats(
    edgespiral: Command, suite: Callable[[str], Path], tmp_path: Path
) -> None:
    suite("budget_ms = 1e-6")
    done = edgespiral(
        "bench", "--report", "junit=ci/junit.xml", "--report", "markdown=ci/comment.md", "--json",
        GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"),
    )  # fmt: skip
    assert done.returncode == GateCode.REGRESSION
    assert json.loads(done.stdout)["verdict"] == "missed"
    assert "\n::error file=edgespiral-bench.toml,title=tiny%3A missed::" in done.stderr
    comment = (tmp_path / "ci" / "comment.md").read_text()
    assert (tmp_path / "summary.md").read_text() == comment
    assert "<failure" in (tmp_path / "ci" / "junit.xml").read_text()


def test_stored_results_have_a_history(
    edgespiral: Command, suite: Callable[[str], Path], tmp_path: Path
) -> None:
    suite("")
    for name in ("a", "b"):
        assert edgespiral("bench", "--out", f"results/{name}.json").returncode == 0
    done = edgespiral("bench", "history", "results", "--html", "page/index.html", "--json")
    assert done.returncode == GateCode.PASS
    [trend] = json.loads(done.stdout)["trends"]
    assert (trend["model"], len(trend["points"])) == ("tiny", 2)
    assert "<h2>tiny</h2>" in (tmp_path / "page" / "index.html").read_text()
    shown = edgespiral("bench", "history", "results").stdout.splitlines()[1].split()
    assert shown[:4] == ["edgespiral-bench", "brief", "tiny", "2"]


def test_the_commit_is_part_of_the_result(
    edgespiral: Command, suite: Callable[[str], Path], tmp_path: Path
) -> None:
    suite("")
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "first")):
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True)
    done = edgespiral("bench", "--against-ref", "HEAD", "--json")
    result = json.loads(done.stdout)
    assert len(result["git_commit"]) == 40
    assert result["git_dirty"] is False
    assert result["cases"][0]["reference"]["label"] == "HEAD"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing.toml",), "nothing.toml: cannot be read"),
        (("--target", "host-cup"), "did you mean host-cpu"),
        (("--against", "a", "--against-ref", "b"), "give one of"),
        (("--against-ref", "HEAD"), "is not in a git repository"),
        (("--report", "junt=x.xml"), "did you mean junit"),
        (("history", "none.json"), "none.json: cannot be read"),
        (("--flag",), "--flag"),
    ],
)
def test_an_error_is_2_whatever_it_is(
    edgespiral: Command, suite: Callable[[str], Path], words: tuple[str, ...], message: str
) -> None:
    suite("")
    done = edgespiral("bench", *words)
    assert done.returncode == GateCode.ERROR
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (("--out", "tiny.onnx"), "tiny.onnx"),
        (("--report", "junit=./tiny.onnx"), "tiny.onnx"),
        (("save", "main", "--out", "tiny.onnx"), "tiny.onnx"),
        (("--out", "brief.toml"), "brief.toml"),
        (("--against", "old.onnx", "--out", "old.onnx"), "old.onnx"),
        (("--against", "old", "--report", "metrics=old/tiny.onnx"), "old/tiny.onnx"),
        (("compare", "main", "--store", "old", "--out", "old/main.json"), "old/main.json"),
    ],
)
def test_nothing_that_is_read_is_written_over(
    edgespiral: Command,
    suite: Callable[[str], Path],
    tmp_path: Path,
    words: tuple[str, ...],
    read: str,
) -> None:
    suite("")
    (tmp_path / "old").mkdir()
    for name in ("old.onnx", "old/tiny.onnx", "old/main.json"):
        (tmp_path / name).write_bytes((tmp_path / "tiny.onnx").read_bytes())
    before = (tmp_path / read).read_bytes()
    done = edgespiral("bench", *words)
    assert done.returncode == GateCode.ERROR
    assert f"{read} is what the command reads" in done.stderr
    assert (tmp_path / read).read_bytes() == before


@pytest.mark.parametrize("words", [(), ("run",), ("save",), ("compare",)])
def test_help_tells_the_exit_codes(edgespiral: Command, words: tuple[str, ...]) -> None:
    told = " ".join(edgespiral("bench", *words, "--help").stdout.split())
    assert "0 met, 1 missed, 2 error, 3 undecided" in told


def test_a_defect_is_no_regression(
    edgespiral_process: Command, suite: Callable[[str], Path], tmp_path: Path
) -> None:
    suite("")
    # `python -m` looks in the current folder first.
    (tmp_path / "onnx.py").write_text("raise ZeroDivisionError\n")
    done = edgespiral_process("bench", TMPDIR=str(tmp_path))
    assert done.returncode == GateCode.ERROR
    assert done.stderr.startswith("internal error: ZeroDivisionError")
