from __future__ import annotations

import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.journal import Journal
from edgespiral.report.live import watch

RELOAD = 'http-equiv="refresh"'


@pytest.mark.slow
def test_the_page_follows_the_journal_until_the_run_ends(met, tmp_path):
    journal, page = Journal(tmp_path / "journal.jsonl"), tmp_path / "pages" / "live.html"
    journal.append(met[0])
    rest, pages = list(met[1:]), []

    def wait(_seconds):
        pages.append(page.read_text())
        journal.append(rest.pop(0))

    watch(journal.path, page, wait)
    assert len(pages) == len(met) - 1
    assert all(RELOAD in text for text in pages)
    assert len(set(pages)) > 2
    assert RELOAD not in page.read_text()


def test_without_a_journal_there_is_nothing_to_watch(tmp_path):
    with pytest.raises(RunFolderError, match="cannot read the journal"):
        watch(tmp_path / "journal.jsonl", tmp_path / "live.html")
