import os
import tomllib
from pathlib import Path

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.measure.profile import TargetProfile, list_profiles, load_profile
from edgespiral.measure.runtimes import RUNTIMES
from edgespiral.measure.runtimes.onnxruntime.settings import OnnxRuntimeSettings

KNOWN = f"known: {', '.join(RUNTIMES.built_in())}"
GOOD = """
schema = 1
name = "{name}"
[runtime]
kind = "onnxruntime"
[transport]
kind = "local"
[device]
description = "{description}"
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, without targets from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGESPIRAL_TARGETS", raising=False)
    return tmp_path


def write(folder: Path, name: str, description: str = "", text: str = GOOD) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text.format(name=name, description=description))
    return path


@pytest.mark.usefixtures("elsewhere")
def test_the_bundled_profile_is_found_anywhere() -> None:
    profile = load_profile("host-cpu")
    assert profile.runtime.kind == "onnxruntime"
    assert profile.transport.kind == "local"
    assert (profile.runtime.threads, profile.device.channel_multiple) == (1, 16)
    assert "host-cpu" in list_profiles()


def test_nearer_places_come_first(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(elsewhere / "a", "host-cpu", "first folder")
    write(elsewhere / "b", "host-cpu", "second folder")
    write(elsewhere / "b", "board", "only here")
    folders = os.pathsep.join(str(elsewhere / name) for name in "ab")
    monkeypatch.setenv("EDGESPIRAL_TARGETS", folders)
    assert load_profile("host-cpu").device.description == "first folder"
    assert load_profile("board").device.description == "only here"
    own = write(elsewhere / "targets", "host-cpu", "own")
    assert load_profile("host-cpu").device.description == "own"
    assert list_profiles()["host-cpu"].resolve() == own.resolve()


def test_a_path_is_taken_as_it_is(elsewhere: Path) -> None:
    write(elsewhere, "mine")
    assert load_profile("mine.toml").name == "mine"
    assert load_profile(elsewhere / "mine.toml").name == "mine"
    with pytest.raises(UsageError, match=r"^there/other: cannot be read: No such file"):
        load_profile("there/other")


@pytest.mark.usefixtures("elsewhere")
def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown target 'host_cpu'; did you mean host-cpu"):
        load_profile("host_cpu")


def test_a_name_unlike_its_file_is_refused(elsewhere: Path) -> None:
    write(elsewhere / "targets", "board").rename(elsewhere / "targets" / "other.toml")
    with pytest.raises(UsageError, match="name: must be 'other' like the file, is 'board'"):
        load_profile("other")


def test_all_problems_come_in_one_error(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_PROVIDER", raising=False)
    text = """
        schema = 2
        name = "a b"
        [runtime]
        kind = "onnxruntime"
        threads = 0
        provider = "$NO_SUCH_PROVIDER"
        [transport]
        kind = "ssh"
        host = "-oProxy"
        timeout = 5
        [measure]
        rounds = 2
        warmup_ms = "long"
    """
    (elsewhere / "bad.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_profile("bad.toml")
    assert str(caught.value).split("; ") == [
        "bad.toml:schema: must be 1, is 2",
        "bad.toml:name: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]*$', is 'a b'",
        "bad.toml:runtime.threads: must be >= 1, is 0",
        "bad.toml:runtime.provider: the environment has no variable NO_SUCH_PROVIDER "
        "(export NO_SUCH_PROVIDER=...)",
        r"bad.toml:transport.host: String should match pattern '^[^-\s]\S*$', is '-oProxy'",
        "bad.toml:transport.timeout: unknown key 'timeout', did you mean timeout_s or "
        "connect_timeout_s?",
        "bad.toml:measure.warmup_ms: must be a valid number, is 'long'",
        "bad.toml:measure.rounds: must be >= 5, is 2",
    ]


def test_an_unknown_kind_brings_the_nearest(elsewhere: Path) -> None:
    text = GOOD.replace("onnxruntime", "onnxruntim").replace('"local"', '"sssh"')
    write(elsewhere, "bad", text=text)
    with pytest.raises(UsageError) as caught:
        load_profile("bad.toml")
    assert str(caught.value).split("; ") == [
        "bad.toml:runtime.kind: unknown kind 'onnxruntim', did you mean onnxruntime or "
        "onnxruntime-mobile?",
        "bad.toml:transport.kind: unknown kind 'sssh', did you mean ssh?",
    ]


@pytest.mark.parametrize(
    ("runtime", "problems"),
    [
        ("", ["kind: is missing"]),
        ("threads = 2", ["kind: is missing"]),
        ("kind = 3", [f"kind: unknown kind '3', {KNOWN}"]),
        (
            'kind = ["tensorrt"]',
            ["kind: unknown kind \"['tensorrt']\", did you mean tensorrt or tensorrt-rtx?"],
        ),
        ('kind = "agent"', [f"kind: unknown kind 'agent', {KNOWN}"]),
        ('kind = "android"', ["binary: is missing"]),
        (
            'kind = "tensorrt"\nprecison = "fp16"\nworkspace_mib = 0',
            [
                "workspace_mib: must be >= 1, is 0",
                "precison: unknown key 'precison', did you mean precision?",
            ],
        ),
        (
            'kind = "tensorrt"\nprecision = "fp8"',
            ["precision: unknown precision 'fp8', did you mean fp32 or fp16?"],
        ),
        (
            'kind = "onnxruntime"\nprovider_options = {{a = 1}}',
            ["provider_options.a: must be a valid string, is 1"],
        ),
    ],
)  # fmt: skip
def test_problems_of_a_runtime_s_own_settings_name_its_keys(
    elsewhere: Path, runtime: str, problems: list[str]
) -> None:
    write(elsewhere, "bad", text=GOOD.replace('kind = "onnxruntime"', runtime))
    with pytest.raises(UsageError) as caught:
        load_profile("bad.toml")
    assert str(caught.value).split("; ") == [f"bad.toml:runtime.{line}" for line in problems]


def test_a_section_that_is_no_table_is_one_line(elsewhere: Path) -> None:
    text = GOOD.replace('[runtime]\nkind = "onnxruntime"', "runtime = 3")
    write(elsewhere, "bad", text=text)
    with pytest.raises(UsageError, match=r"^bad.toml:runtime.kind: is missing$"):
        load_profile("bad.toml")


def test_a_profile_that_is_written_is_read_as_it_was() -> None:
    text = 'kind = "tensorrt-rtx"\ncompute_capability = "8.9"'
    values = tomllib.loads(
        GOOD.format(name="a", description="").replace('kind = "onnxruntime"', text)
    )
    profile = TargetProfile.model_validate(values)
    assert profile.model_dump()["runtime"]["compute_capability"] == "8.9"
    again = TargetProfile.model_validate_json(profile.model_dump_json(by_alias=True))
    assert again == profile


def test_a_variable_may_be_left_as_it_is_written(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_TEXT", raising=False)
    write(elsewhere, "board", "$NO_SUCH_TEXT")
    with pytest.raises(UsageError, match="the environment has no variable NO_SUCH_TEXT"):
        load_profile("board.toml")
    assert load_profile("board.toml", as_written=True).device.description == "$NO_SUCH_TEXT"


def test_values_come_from_the_environment(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOARD_TEXT", "board in the cellar")
    write(elsewhere, "board", "$BOARD_TEXT")
    assert load_profile("board.toml").device.description == "board in the cellar"
    write(elsewhere, "board", "costs $BOARD_TEXT")
    assert load_profile("board.toml").device.description == "costs $BOARD_TEXT"


def test_cores_are_big_or_named(elsewhere: Path) -> None:
    text = GOOD.replace('kind = "onnxruntime"', 'kind = "onnxruntime"\naffinity = @')
    for written, read in (('"big"', "big"), ("[4, 5]", (4, 5))):
        write(elsewhere, "board", text=text.replace("@", written))
        runtime = load_profile("board.toml").runtime
        assert isinstance(runtime, OnnxRuntimeSettings)
        assert runtime.affinity == read
    for bad in ('"small"', "[]", "[-1]", "4"):
        write(elsewhere, "board", text=text.replace("@", bad))
        with pytest.raises(UsageError, match=r'^board.toml:runtime.affinity: must be "big" or a '):
            load_profile("board.toml")


def test_providers_may_have_options(elsewhere: Path) -> None:
    kind = 'kind = "onnxruntime"'
    text = GOOD.replace(kind, f'{kind}\nprovider_options.backend_path = "libQnnHtp.so"')
    write(elsewhere, "board", text=text)
    runtime = load_profile("board.toml").runtime
    assert isinstance(runtime, OnnxRuntimeSettings)
    assert runtime.provider_options == {"backend_path": "libQnnHtp.so"}


def test_every_profile_of_the_repository_is_good() -> None:
    folder = Path(__file__).parents[2] / "targets"
    names = {load_profile(path, as_written=True).name for path in folder.glob("*.toml")}
    assert names == {path.stem for path in folder.glob("*.toml")} != set()


@pytest.mark.parametrize(
    "setting",
    [
        "transport.timeout_s = 1e10",
        "transport.retry_s = inf",
        "transport.connect_timeout_s = 10_000_000_000",
        "transport.keepalive_s = 10_000_000_000",
        "measure.warmup_ms = 1e300",
        "measure.round_ms = inf",
    ],
)
def test_no_time_is_longer_than_a_clock_can_count(elsewhere: Path, setting: str) -> None:
    path = elsewhere / "far.toml"
    path.write_text(
        f'{setting}\nschema = 1\nname = "far"\nruntime.kind = "onnxruntime"\n'
        'transport.kind = "ssh"\ntransport.host = "board"\n'
    )
    name = setting.split(maxsplit=1)[0]
    with pytest.raises(UsageError, match=f"{name}: must be (<= 1|a finite)"):
        load_profile(path)
