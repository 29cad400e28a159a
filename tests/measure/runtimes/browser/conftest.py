import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from browser import COMMANDS, chromium

from edgespiral.core.errors import TargetError
from edgespiral.measure.completed import Completed
from edgespiral.measure.runtimes.base import Answer, Job
from edgespiral.measure.runtimes.browser.runtime import PACKAGE_FILES, Browser, package_files
from edgespiral.measure.runtimes.browser.settings import BrowserSettings

Ask = Callable[..., Answer]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Has the agent measure a model; files that it comes with can be edited before."""

    def asked(
        model: Path, edits: Mapping[str, tuple[str, str]] | None = None, **own: Any
    ) -> Answer:
        runtime = Browser(BrowserSettings(kind="browser", **own))
        job = Job("measure", (model,), 5, 0.5, 2, 5, 20)
        folder = tmp_path / "device"
        for name, content in runtime.files(job).items():
            goal = folder / name
            goal.parent.mkdir(parents=True, exist_ok=True)
            goal.write_bytes(content.encode() if isinstance(content, str) else content.read_bytes())
        for name, (old, new) in (edits or {}).items():
            text = (folder / name).read_text()
            assert old in text
            (folder / name).write_text(text.replace(old, new))
        command = runtime.argv(sys.executable)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return runtime.parse(Completed(done.returncode, done.stdout, done.stderr), job)

    return asked


@pytest.fixture
def package(tmp_path: Path) -> str:
    """A package whose files have nothing in them."""
    folder = tmp_path / "package"
    (folder / "dist").mkdir(parents=True)
    for name in PACKAGE_FILES["wasm"]:
        (folder / "dist" / name).touch()
    return str(folder)


@pytest.fixture
def real_browser() -> str:
    """A browser's command; without one the test is skipped."""
    command = chromium()
    if command is None:
        pytest.skip(f"no browser is installed (none of {', '.join(COMMANDS)})")
    return command


@pytest.fixture
def real_package() -> None:
    """Skips the test where onnxruntime-web is not installed."""
    try:
        package_files(None)
    except TargetError as error:
        pytest.skip(str(error))
