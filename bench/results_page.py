"""Write the tables of docs/results.md from what the benches have left in bench/results.

    python bench/results_page.py            # writes them
    python bench/results_page.py --check    # fails where the page says something else

What is between a section's two marks is written; all else of the page is by hand.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from field_summary import aims_markdown, curves_of, table
from field_summary import markdown as field_markdown
from pareto_picture import EPOCHS, picture
from pareto_summary import markdown as pareto_markdown

from edgespiral.core.system.files import write_text

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/results.md", ROOT / "bench/results"
MARK = "<!-- {name}: {end} -->"
DEFAULT = "default"
NOT_RUN = "Not run yet.\n"


def rows_of(name: str) -> list[Json]:
    """The rows of a file of results; none where the bench has not been run."""
    path = RESULTS / name
    return list(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else []


def pareto() -> str:
    """Accuracy at equal measured latency, beside others, on Fashion-MNIST."""
    document = json.loads((RESULTS / "pareto.json").read_text(encoding="utf-8"))
    return pareto_markdown(document["summary"], document["rows"])


def field() -> str:
    """The same on the field's own networks and data, with its picture."""
    rows = rows_of("field.json")
    if not rows:
        return NOT_RUN
    pictures = ["![Test accuracy over measured speed-up](../bench/results/field.svg)"]
    if curves_of(rows):
        pictures.append("![Test accuracy over epochs](../bench/results/field_epochs.svg)")
    return "\n".join([field_markdown(rows), *(f"{picture}\n" for picture in pictures)])


def draw_curves(rows: list[Json]) -> None:
    """Test accuracy over epochs, where a row of the field's bench was trained for several."""
    lines = curves_of(rows)
    if lines:
        networks = [row["network"] for row in rows]
        teachers = [
            {"model": line["model"], **rows[networks.index(line["model"].rpartition(", ")[0])]}
            for line in lines
        ]
        write_text(RESULTS / "field_epochs.svg", picture(lines, teachers, EPOCHS))


def aims() -> str:
    """What was aimed at there, and by how much it was missed."""
    return aims_markdown(rows_of("field.json"))


def recipes() -> str:
    """What recipes were tried, each beside the default of the same pair, passes and seeds."""
    rows = rows_of("recipes.json")
    if not rows:
        return NOT_RUN
    told: list[tuple[str, ...]] = [
        ("network and data", "samples", "passes", "recipe", "seeds", "validation, %", "nats",
         "points beside the default"),
        ("---", "---:", "---:", "---", *["---:"] * 4),
    ]  # fmt: skip
    settings = {(row["pair"], row["samples"], row["epochs"]) for row in rows}
    for pair, samples, epochs in sorted(settings):
        some = [
            row for row in rows if (row["pair"], row["samples"], row["epochs"])
            == (pair, samples, epochs)
        ]  # fmt: skip
        recipes_of = {row["recipe"] for row in some}
        names = sorted(recipes_of, key=lambda name: (-_gain(name, some), name))
        told += [
            (pair, f"{samples:,}", f"{epochs:g}", *_recipe_cells(name, some)) for name in names
        ]
    return table(told)


def _recipe_cells(name: str, rows: list[Json]) -> tuple[str, ...]:
    own = [row for row in rows if row["recipe"] == name]
    gain = "" if name == DEFAULT else f"{_gain(name, rows):+.2f}"
    return (
        f"**{name}**" if name == DEFAULT else name,
        str(len(own)),
        f"{statistics.mean(row['validation_percent'] for row in own):.2f}",
        f"{statistics.mean(row['validation_nats'] for row in own):.4f}",
        gain,
    )


def _gain(name: str, rows: list[Json]) -> float:
    """Points beside the default, over the seeds that both have."""
    by_seed = {
        recipe: {row["seed"]: row["validation_percent"] for row in rows if row["recipe"] == recipe}
        for recipe in (name, DEFAULT)
    }
    shared = by_seed[name].keys() & by_seed[DEFAULT].keys()
    if not shared:
        raise SystemExit(f"recipes.json has no default beside {name!r} of the same seed")
    return statistics.mean(by_seed[name][seed] - by_seed[DEFAULT][seed] for seed in shared)


SECTIONS: dict[str, Callable[[], str]] = {
    "pareto": pareto,
    "field": field,
    "aims": aims,
    "recipes": recipes,
}


def written(page: str) -> str:
    """`page` with every section's tables as the results are."""
    for name, make in SECTIONS.items():
        begin, end = (MARK.format(name=name, end=edge) for edge in ("begin", "end"))
        before, opened, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (opened and closed):
            raise SystemExit(f"{PAGE} lacks the marks of {name!r}")
        page = f"{before}{begin}\n\n{make()}\n{end}{after}"
    return page


def main() -> None:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    page = PAGE.read_text(encoding="utf-8")
    new = written(page)
    if not parser.parse_args().check:
        draw_curves(rows_of("field.json"))
        write_text(PAGE, new)
    elif new != page:
        raise SystemExit(f"{PAGE} is not what the results say: python bench/results_page.py")


if __name__ == "__main__":
    main()
