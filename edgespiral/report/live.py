"""A run's page, written anew while the run goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgespiral.core.records.events import RunFinished
from edgespiral.core.records.journal import read_run
from edgespiral.core.system.files import write_page
from edgespiral.report.html import render_html

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# How often the journal is looked at, and how often a browser loads the page again.
LOOK_EVERY_S, RELOAD_EVERY_S = 2.0, 5


def watch(journal: Path, page: Path, wait: Callable[[float], None] = time.sleep) -> None:
    """Write `page` whenever `journal` has grown, until its run has ended.

    Args:
        journal: of a run, finished or not.
        page: loads itself again while the run goes on.
        wait: passes some seconds.

    Raises:
        RunFolderError: there is no such journal, it is damaged, or the page cannot be written.
        UsageError: another file is in the page's place.
    """
    shown = -1
    while True:
        events = read_run(journal)
        has_ended = any(isinstance(event, RunFinished) for event in events)
        if len(events) != shown:
            reload_s = None if has_ended else RELOAD_EVERY_S
            write_page(page, render_html(events, reload_s=reload_s))
            shown = len(events)
        if has_ended:
            return
        wait(LOOK_EVERY_S)
