"""A real Chromium for tests of pages, where the machine has one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Phones, tablets and desks, in pixels.
WIDTHS = (360, 768, 1440)


def chromium() -> str | None:
    """The command of an installed Chromium or Chrome."""
    return next(filter(None, map(shutil.which, COMMANDS)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """One for a file of tests; without it they are skipped."""
    playwright = pytest.importorskip("playwright.sync_api")
    command = chromium()
    if command is None:
        pytest.skip(f"no browser is installed (none of {', '.join(COMMANDS)})")
    with playwright.sync_playwright() as session:
        # As root, as in containers, Chromium runs without its sandbox only.
        opened = session.chromium.launch(executable_path=command, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def shown(browser: "Browser", path: Path, width: int = 1440, **settings: str) -> "Iterator[Page]":
    """A page from the disk, which may ask for nothing else, and says nothing on its console."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, accept_downloads=True, **settings
    )
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    yield page
    outside = [url for url in asked if not url.startswith(("data:", "blob:", path.as_uri()))]
    context.close()
    assert (outside, said) == ([], [])
