import itertools
import re
import tomllib
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.events import Event, RunStarted
from edgespiral.report.html import render_html

VOID = {"meta", "br", "link", "img", "hr"}


class Outline(HTMLParser):
    """Checks that tags nest, and collects what a page would fetch and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"link", "iframe", "img", "object"}:
            self.fetched.append(tag)
        self.fetched += [name for name, _ in attrs if name in {"src", "href", "xlink:href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


def drawings(page: str) -> dict[str, ET.Element]:
    images = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    return {image[0].get("id", "").removesuffix("-title"): image for image in images}


@pytest.mark.parametrize("events", ["met", "unfinished", "already_met", "several"])
def test_the_page_nests_fetches_nothing_and_needs_no_network(
    events: str, request: pytest.FixtureRequest
) -> None:
    page = render_html(request.getfixturevalue(events))
    outline = Outline(page)
    assert outline.open == []
    assert outline.fetched == []
    assert "://" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_the_figures_that_matter_are_on_the_page(met: list[Event]) -> None:
    text = Outline(render_html(met)).text
    wanted = [
        "budget met",
        "2.25\N{MULTIPLICATION SIGN}",
        "92.35 %",
        "\N{MINUS SIGN}0.75 points",
        "0.453 ms",
        "1 min 31 s",
        "2.13.0",
    ]
    assert [piece for piece in wanted if piece not in text] == []


def test_everything_needed_to_do_it_again_is_there(met: list[Event]) -> None:
    text = Outline(render_html(met)).text
    assert "edgespiral compress resnet20 --data fashion-mnist --speedup 2.2" in text
    assert 'schema = 1\nmodel = "resnet20"\ndata = "fashion-mnist"' in text
    assert "latency_ms" not in text
    for digest in ("ab" * 32, "cd" * 32, "2f" * 32, "ee" * 32):
        assert digest in text


def test_charts_have_a_title_and_a_description_for_those_who_cannot_see_them(
    met: list[Event],
) -> None:
    images = drawings(render_html(met))
    assert set(images) == {"score", "samples", "network"}
    for image in images.values():
        assert image.get("role") == "img"
        assert [child.tag for child in image[:2]] == ["title", "desc"]
        assert image.get("aria-labelledby") == f"{image[0].get('id')} {image[1].get('id')}"
    assert images["score"][1].text == (
        "Teacher 93.40 % in 1.02 ms; turn 1 93.00 % in 0.680 ms; "
        "turn 2 92.60 % in 0.453 ms; budget 0.464 ms."
    )


def test_names_from_the_model_are_escaped(met: list[Event]) -> None:
    page = render_html(met)
    assert "<odd>" not in page
    assert "conv1 &lt;odd&gt; &amp; name" in page


def test_an_unfinished_run_says_so_and_shows_what_it_has(unfinished: list[Event]) -> None:
    page = render_html(unfinished)
    text = Outline(page).text
    assert "not finished" in text
    assert "Turns finished: 1" in text
    assert "93.00 %" in text
    assert "test accuracy" not in text
    assert "turn 2" not in "".join(drawings(page)["score"].itertext())


def test_a_run_that_has_only_begun_still_tells_how_to_do_it_again(met: list[Event]) -> None:
    page = render_html(met[:1])
    assert drawings(page) == {}
    assert "edgespiral compress resnet20" in Outline(page).text


def test_a_run_without_turns_shows_the_teacher_alone(already_met: list[Event]) -> None:
    page = render_html(already_met)
    text = Outline(page).text
    assert "budget met already" in text
    assert "No turn was needed or finished" in text
    assert "student" not in "".join(drawings(page)["samples"].itertext())
    network = drawings(page)["network"][1].text
    assert network == "20 layers, 0 of them narrower than in the teacher; none is gone."


def test_a_run_shows_the_layers_that_are_gone(met: list[Event]) -> None:
    page = render_html(met)
    text = str(drawings(page)["network"][1].text)
    assert text.startswith("20 layers, 17 of them narrower")
    assert text.endswith("gone: layer2.2.conv1, layer2.2.conv2.")
    assert re.search(r"layer2\.2\.conv2</th>.*>layer2\.2\.conv1</td>.*>gone</td>", page)


def test_a_journal_of_before_has_the_widths_of_groups(met: list[Event]) -> None:
    old = [
        event.model_copy(update={"network": ()} if event.kind == "baseline" else {"layers": {}})
        for event in met
    ]
    page = render_html(old)
    assert set(drawings(page)) == {"score", "samples", "widths"}
    assert drawings(page)["widths"][1].text == "154 of 352 channels are left in 10 groups."


def test_a_sibling_is_no_cut_of_the_network(met: list[Event]) -> None:
    turn = next(event for event in met if event.kind == "turn-finished" and event.turn == 2)
    sibling = turn.model_copy(update={"sibling": "resnet8"})
    page = render_html([sibling if event is turn else event for event in met])
    assert set(drawings(page)) == {"score", "samples"}


def test_a_journal_without_a_run_is_one_clear_error() -> None:
    with pytest.raises(RunFolderError, match="the journal holds no run"):
        render_html([])


def test_precisions_are_compared_where_they_were_measured(mixed: list[Event]) -> None:
    page = render_html(mixed)
    assert "Students are in int8: loses &lt;least&gt;." in page
    assert "Cut to the budget in fp32: 0.440 ms, loses 0.31 nats by cutting" in page


def test_the_zeros_are_listed_layer_by_layer(sparse: list[Event], met: list[Event]) -> None:
    page = render_html(sparse)
    outline = Outline(page)
    assert outline.open == []
    text = " ".join(outline.text.split())
    assert "Asked for 2:4: 42.8 % of the weights in model.onnx are zero" in text
    assert "No speed-up expected here, 40 % smaller compressed file" in text
    assert "Left dense: stem <odd> (1 input channel, not a multiple of 4)." in text
    assert re.search("/fc/Gemm *Gemm *856 *50.0 *yes", text)
    assert "Every turn: turn 1 42.8 % zero, turn 2 42.8 % zero." in text
    assert "stem <odd>" not in page
    assert "Sparsity" not in Outline(render_html(met)).text


def test_each_device_of_several_is_shown(several: list[Event]) -> None:
    text = " ".join(Outline(render_html(several)).text.split())
    assert "resnet20 on host-cpu, board" in text
    assert "board Example CPU, onnxruntime, threads: 1 30.0 18.8 1.60" in text
    assert "host-cpu Example CPU, onnxruntime, threads: 1 1.02 0.453 2.25" in text
    assert 'target = ["host-cpu", "board"]' in text
    assert 'latency_ms = { "board" = 20 }' in text


def test_what_each_cut_bought_is_told(several: list[Event], met: list[Event]) -> None:
    text = " ".join(Outline(render_html(several)).text.split())
    assert "What each cut bought, turn 2" in text
    assert "layer2.0.conv1 32 → 16 25.0 % 0.0312 1.25" in text
    assert "layer1.<1> 16 → gone 75.0 %" in text
    assert "What each cut bought" not in render_html(met)


def test_what_won_back_accuracy_is_on_the_page(won_back: list[Event]) -> None:
    page = render_html(won_back)
    assert "1 epochs, 91.50 -&gt; 92.40 % (+0.90)" in page
    assert "/&lt;stem&gt;/Conv: +0.20 points for +0.0031 ms" in page


def test_figures_beside_the_score_are_told(met_with_figures: list[Event]) -> None:
    assert "Test AP: 0.71 -&gt; 0.68" in render_html(met_with_figures)


def test_each_turns_learning_rate_is_told_with_its_reason(
    rated: list[Event], met: list[Event]
) -> None:
    text = " ".join(Outline(render_html(rated)).text.split())
    assert "Turn 1 was trained at a learning rate of up to 0.0071: by rule." in text
    assert "Turn 2 was trained at a learning rate of up to 0.012: loss at <0.0213>." in text
    assert "learning rate" not in render_html(met)


TABLE_HEADS = re.compile(r"<th[^>]*>(.*?)</th>", re.DOTALL)


def test_tables_have_heads_and_what_scrolls_is_reached_by_keyboard(several: list[Event]) -> None:
    page = render_html(several)
    heads = TABLE_HEADS.findall(page)
    assert heads
    assert all(head.strip() for head in heads)
    assert len(re.findall(r"<th(?: [^>]*)?>", page)) == len(re.findall(r'<th scope="', page))
    scrolled = re.findall(r'<div class="scroll"[^>]*>', page)
    assert scrolled
    assert all('tabindex="0" role="group" aria-label=' in tag for tag in scrolled)
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("name", ["cat \U0001f408", '\x7f\x01"\\', "Gr\xfc\xdfe"])
def test_the_plan_of_any_names_is_a_plan_file(met: list[Event], name: str) -> None:
    begun = met[0]
    assert isinstance(begun, RunStarted)
    plan = begun.plan | {"data": name, "latency_ms": {name: 2.0}}
    page = render_html([begun.model_copy(update={"plan": plan}), *met[1:]])
    [written] = re.findall(r"<pre>(schema = .*?)</pre>", page, re.DOTALL)
    read = tomllib.loads(unescape(written))
    assert (read["data"], read["latency_ms"]) == (name, {name: 2.0})
