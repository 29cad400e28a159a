"""Pages as people see them: in Chromium, at three widths, by keyboard, on paper, with axe-core."""

import base64
import csv
import io
from pathlib import Path

import pytest
from browser import WIDTHS, browser, shown
from example_pages import INSPECTION, SWEEP, a_race, a_trend
from example_records import an_exploration, explored_point
from PIL import Image

from edgespiral.core.records.events import Event, RunFinished
from edgespiral.core.records.exported import ComparedPicture, ComparedText, Confusion
from edgespiral.gate.records import History
from edgespiral.gate.report.history import render_history
from edgespiral.report.comparison import compared, comparison_html
from edgespiral.report.exploration import exploration_html
from edgespiral.report.html import races_html, render_html
from edgespiral.report.inspection import inspection_html
from edgespiral.report.sweep import sweep_html

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
__all__ = ["browser"]
PAGES = (
    *("run", "unfinished", "comparison"),
    *("exploration", "sweep", "inspection", "history", "race"),
)

# Colours do not depend on the width.
LOOKS = (*((width, "light") for width in WIDTHS), (WIDTHS[-1], "dark"))


def with_samples(events: list[Event]) -> list[Event]:
    """A finished run that shows, says and confuses something, in words without a place to break."""
    word, file = "Tasmanian_devil_or_" * 6, io.BytesIO()
    Image.new("RGB", (300, 200), "teal").save(file, "jpeg")
    jpeg = base64.b64encode(file.getvalue()).decode()
    finished = next(event for event in events if isinstance(event, RunFinished))
    shown = {
        "confusions": (Confusion(meant=word, said="cat", teacher=3, student=12),),
        "confusion_samples": 500,
        "texts": (ComparedText(sample="test 1", meant=word, teacher="a cat", student=word),),
        "pictures": (ComparedPicture(sample="test 2", teacher=jpeg, student=jpeg),),
    }
    return [event.model_copy(update=shown) if event is finished else event for event in events]


@pytest.fixture
def pages(met: list[Event], unfinished: list[Event], tmp_path: Path) -> dict[str, Path]:
    points = (explored_point(1, 6.0, 0.25, knee=True), explored_point(2, 5.0, 2.0, on_front=False))
    texts = {
        "run": render_html(with_samples(met)),
        "unfinished": render_html(unfinished, reload_s=60),
        "comparison": comparison_html(compared({"one": met, "two": unfinished})),
        "exploration": exploration_html(an_exploration(*points)),
        "sweep": sweep_html(SWEEP),
        "inspection": inspection_html(INSPECTION),
        "history": render_history(History(trends=(a_trend(),))),
        "race": races_html([a_race(), a_race()]),
    }
    assert set(texts) == set(PAGES)
    for name, text in texts.items():
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: tmp_path / f"{name}.html" for name in texts}


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser, pages: dict[str, Path], name: str
) -> None:
    with shown(browser, pages[name]) as page:
        page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        for width, scheme in LOOKS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            violations = axe.Axe().run(page).response["violations"]
            told = [(each["id"], each["nodes"][0]["html"]) for each in violations]
            assert (width, scheme, told) == (width, scheme, [])
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width


def test_a_broken_page_would_be_seen(browser, tmp_path: Path) -> None:
    page_file = tmp_path / "bad.html"
    page_file.write_text("<html><body><main><h1>a</h1><img src='data:,'></main></body></html>")
    with shown(browser, page_file) as page:
        found = {each["id"] for each in axe.Axe().run(page).response["violations"]}
    assert {"image-alt", "html-has-lang"} <= found


def test_paper_has_no_buttons_and_no_dark_ground(browser, pages: dict[str, Path]) -> None:
    with shown(browser, pages["run"], color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert page.locator("button:visible").count() == 0
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"


def test_all_that_scrolls_or_acts_is_reached_by_keyboard(browser, pages: dict[str, Path]) -> None:
    with shown(browser, pages["run"]) as page:
        every = page.locator("button:visible, summary, [tabindex='0']:visible").count()
        reached = 0
        for _ in range(every):
            page.keyboard.press("Tab")
            reached += page.evaluate(
                "document.activeElement.matches(\"button, summary, [tabindex='0']\")"
            )
    assert reached == every > 10


def test_a_copy_button_copies(browser, pages: dict[str, Path], met: list[Event]) -> None:
    with shown(browser, pages["run"]) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_label("Copy this text").first.focus()
        page.keyboard.press("Enter")
        page.get_by_text("Copied", exact=True).wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == met[0].command


def test_charts_are_saved_as_pictures_and_as_figures(browser, pages: dict[str, Path]) -> None:
    with shown(browser, pages["run"]) as page:
        charts = page.locator("figure > svg").count()
        pictures = page.get_by_role("button", name="Save as PNG")
        assert pictures.count() == charts == 3
        for index in range(charts):
            with page.expect_download() as saved:
                pictures.nth(index).click()
            picture = Path(saved.value.path()).read_bytes()
            assert picture.startswith(b"\x89PNG")
            assert len(picture) > 5000
        page.locator("figure summary").first.click()
        with page.expect_download() as saved:
            page.get_by_label("Save as CSV: Latency against accuracy").click()
        name, text = saved.value.suggested_filename, Path(saved.value.path()).read_text()
    assert name == "latency-against-accuracy.csv"
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0][:2] == ["point", "latency, ms"]
    assert [row[0] for row in rows[1:]] == ["teacher", "turn 1", "turn 2"]


def test_the_network_says_its_layers_to_a_pointer_and_in_figures(
    browser, pages: dict[str, Path]
) -> None:
    with shown(browser, pages["run"], width=360) as page:
        drawing = page.get_by_role("img", name="The network, and what was cut")
        figure = page.locator("figure", has=drawing)
        assert figure.evaluate("box => box.scrollWidth > box.clientWidth")
        letters = drawing.locator("text.gone").first
        assert letters.text_content() == "layer2.2.conv1"
        assert letters.bounding_box()["height"] >= 9
        row = drawing.locator("g", has_text="layer2.2.conv2: Conv2d 3x3, 64")
        before = row.locator("rect.row").evaluate("bar => getComputedStyle(bar).fill")
        row.hover()
        assert row.locator("rect.row").evaluate("bar => getComputedStyle(bar).fill") != before
        figure.locator("summary").press("Enter")
        with page.expect_download() as saved:
            page.get_by_label("Save as CSV: The network, and what was cut").press("Enter")
        rows = list(csv.reader(io.StringIO(Path(saved.value.path()).read_text())))
    assert rows[0] == ["layer", "kind", "reads", "teacher", "student"]
    assert [row for row in rows if row[-1] == "gone"] == [
        ["layer2.2.conv1", "Conv2d 3x3", "add", "64", "gone"],
        ["layer2.2.conv2", "Conv2d 3x3", "layer2.2.conv1", "64", "gone"],
    ]


def test_a_script_that_a_run_smuggles_in_does_not_run(browser, pages: dict[str, Path]) -> None:
    path = pages["run"]
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("</main>", "<script>document.title = 'taken'</script></main>"))
    page = browser.new_page()
    page.goto(path.as_uri())
    title, buttons = page.title(), page.locator("button").count()
    page.close()
    assert title != "taken"
    assert buttons > 5
