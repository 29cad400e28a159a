from pathlib import Path

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.measure.profile import PROFILES, load_profile
from edgespiral.measure.profile_file import keep_channel_multiple

MINE = """# my board
schema = 1
name = "mine"   # as the file

[transport]
kind = "local"
[runtime]
kind = "onnxruntime"
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_everything_else_in_a_file_stays_as_it_was(elsewhere: Path) -> None:
    path = elsewhere / "mine.toml"
    path.write_text(MINE)
    assert keep_channel_multiple(str(path), 8) == path
    assert path.read_text() == f"{MINE}\n[device]\nchannel_multiple = 8\n"
    keep_channel_multiple(str(path), 4)
    assert path.read_text() == f"{MINE}\n[device]\nchannel_multiple = 4\n"
    assert load_profile(path).device.channel_multiple == 4


def test_a_bundled_target_is_copied_and_not_touched(elsewhere: Path) -> None:
    bundled = PROFILES.path_of("host-cpu")
    before = bundled.read_text()
    path = keep_channel_multiple("host-cpu", 4)
    assert path == Path("targets/host-cpu.toml")
    assert bundled.read_text() == before
    assert path.read_text() == before.replace("channel_multiple = 16", "channel_multiple = 4")
    assert load_profile("host-cpu").device.channel_multiple == 4


def test_an_unknown_target_and_a_broken_file_are_refused(elsewhere: Path) -> None:
    with pytest.raises(UsageError, match="did you mean host-cpu"):
        keep_channel_multiple("host_cpu", 4)
    (elsewhere / "bad.toml").write_text("schema = \n")
    with pytest.raises(UsageError, match=r"bad\.toml: cannot be read as TOML"):
        keep_channel_multiple("bad.toml", 4)
