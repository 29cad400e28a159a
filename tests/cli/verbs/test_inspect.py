from __future__ import annotations

import pytest
from typer.testing import CliRunner

from edgespiral.cli.app import app
from edgespiral.core.errors import ModelError, UsageError

NET = """
from torch import nn


def net():
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 3), nn.Flatten())
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(NET)
    return f"{path}:net"


ENDLESS = """
from torch import nn


class Endless(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        while True:
            x = self.layer(x)
        return x
"""


# Raised while garbage is collected, as Hypothesis looks on, it is lost; the clock looks again.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_forward_that_computes_for_ever_is_told(tmp_path, monkeypatch):
    path = tmp_path / "net.py"
    path.write_text(ENDLESS)
    monkeypatch.setenv("EDGESPIRAL_ANALYSIS_SECONDS", "0.5")
    with pytest.raises(ModelError) as ended:
        CliRunner().invoke(
            app, ["inspect", f"{path}:Endless", "--input-shape", "3"], catch_exceptions=False
        )
    assert str(ended.value).startswith("finding what can be cut took more than 0 s of processor t")


def test_names_in_a_model_are_data(tmp_path):
    path, page = tmp_path / "net.py", tmp_path / "new" / "page.html"
    path.write_text(
        "from torch import nn\n"
        "def net():\n"
        "    net = nn.Sequential(nn.Conv2d(3, 8, 3))\n"
        "    net.add_module('[/]\\x1b[2J', nn.Conv2d(8, 8, 3))\n"
        "    net.extend([nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10)])\n"
        "    return net\n"
    )
    words = ["inspect", f"{path}:net", "--input-shape", "3x8x8", "--html", str(page)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    assert page.is_file()


def test_it_shows_what_can_be_cut_and_writes_a_page(net, tmp_path):
    page = tmp_path / "page.html"
    done = CliRunner().invoke(
        app, ["inspect", net, "--input-shape", "3x8x8", "--html", str(page)], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert "can be cut: 80% of the channels" in done.output
    assert "engine flow: yes" in done.output
    assert "<h2>What stays, and why</h2>" in page.read_text()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "give one of --data and --input-shape"),
        (["--data", "digits", "--input-shape", "3x8x8"], "give one of"),
        (["--input-shape", "3xx8"], "not sizes: '3xx8'"),
        (["--input-shape", "3x0x8"], "not sizes"),
        (["--input-shape", f"3x{10**18}"], "not sizes"),
        (["--input-shape", "3x100000x100000"], "are 3.0e.10 numbers, more than 2.7e.08"),
    ],
)
def test_an_input_is_stated_once_and_in_numbers(net, options, problem):
    with pytest.raises(UsageError, match=problem):
        CliRunner().invoke(app, ["inspect", net, *options], catch_exceptions=False)
