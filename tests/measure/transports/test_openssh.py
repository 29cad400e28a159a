"""What the link of ssh does alone; test_link.py has what all links do."""

from pathlib import Path
from typing import Any

import pytest

from edgespiral.core.errors import TargetError
from edgespiral.measure.transports.openssh import OpensshLink


def test_a_bad_configuration_is_told(board: Any, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("NoSuchKeyword yes\n")
    settings = board.profile(config=str(tmp_path / "config")).transport
    with pytest.raises(TargetError, match=r"onfiguration option.*mend ssh's configuration"):
        OpensshLink(settings).open(str(board.folder))
    settings = board.profile(config=str(tmp_path / "nothing")).transport
    with pytest.raises(TargetError, match="Can't open user config file"):
        OpensshLink(settings).open(str(board.folder))
