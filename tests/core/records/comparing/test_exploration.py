from __future__ import annotations

import pytest

from edgespiral.core.errors import RunFolderError
from edgespiral.core.records.comparing.exploration import EXPLORATION, read_exploration


def test_a_folder_without_an_exploration_is_named(tmp_path):
    with pytest.raises(RunFolderError, match=f"{EXPLORATION}: cannot be read"):
        read_exploration(tmp_path)


def test_damage_is_told_with_its_key(tmp_path):
    (tmp_path / EXPLORATION).write_text('{"schema_version": 2}')
    with pytest.raises(RunFolderError, match="damaged: schema_version"):
        read_exploration(tmp_path)
    (tmp_path / EXPLORATION).write_text("{")
    with pytest.raises(RunFolderError, match="damaged"):
        read_exploration(tmp_path)
