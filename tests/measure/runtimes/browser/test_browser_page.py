"""What becomes of browsers that are not there, or do not stay."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgespiral.core.errors import MeasurementError, TargetError
from edgespiral.measure.runtimes.base import Answer

Make = Callable[..., Path]
Ask = Callable[..., Answer]
# Asks for the first command, answers it, and is gone.
BRIEF = """#!@
import json, sys
from urllib.request import urlopen
if "--version" in sys.argv:
    sys.exit(print("Brief 1"))
url = sys.argv[-1].replace("page.html", "next")
asked = urlopen(url, data=b"null")
assert json.loads(asked.read())["name"] == "facts"
facts = {"isolated": True, "tick_ms": 0.005, "version": "1", "ready_ms": 1.0}
urlopen(url, data=json.dumps(facts).encode())
"""


def stand_in(path: Path, text: str) -> str:
    path.write_text(text.replace("@", sys.executable))
    path.chmod(0o755)
    return str(path)


def test_no_browser_is_one_line(ask: Ask, convolution: Make, package: str) -> None:
    what = "no browser is installed: no netscape; install Chromium there, or name one: browser ="
    with pytest.raises(TargetError, match=what):
        ask(convolution(), browser="netscape", package=package)


def test_a_browser_that_does_not_start_is_one_line(
    ask: Ask, convolution: Make, package: str, tmp_path: Path
) -> None:
    broken = stand_in(tmp_path / "broken", "#!/bin/sh\nexit 3\n")
    with pytest.raises(TargetError, match=r"cannot be started: .* exit status 3"):
        ask(convolution(), browser=broken, package=package)


def test_a_browser_that_opens_no_page_is_one_line(
    ask: Ask, convolution: Make, package: str, tmp_path: Path
) -> None:
    quick = stand_in(tmp_path / "quick", "#!/bin/sh\nexit 0\n")
    with pytest.raises(TargetError, match="the browser ended before it opened a page"):
        ask(convolution(), browser=quick, package=package)


def test_a_browser_that_ends_is_no_figure(
    ask: Ask, convolution: Make, package: str, tmp_path: Path
) -> None:
    brief = stand_in(tmp_path / "brief", BRIEF)
    with pytest.raises(MeasurementError, match="the browser's tab ended by itself"):
        ask(convolution(), browser=brief, package=package)


def test_without_onnxruntime_web_it_is_said_where_it_comes_from(
    ask: Ask, convolution: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match=r"npm install onnxruntime-web, or name its folder"):
        ask(convolution())
    with pytest.raises(TargetError, match=r"nowhere: onnxruntime-web is not here"):
        ask(convolution(), package="nowhere")
