import hashlib

import pytest

from edgespiral.core.errors import ModelError
from edgespiral.data.accompanying import check_beside, hashes, write_beside

FILES = {"vocabulary.txt": "<pad>\na\n"}


def test_texts_are_written_once_and_again_where_they_were_changed(tmp_path):
    write_beside(FILES, tmp_path)
    written = tmp_path / "vocabulary.txt"
    first = written.stat().st_ino
    write_beside(FILES, tmp_path)
    assert written.stat().st_ino == first
    written.write_text("another")
    write_beside(FILES, tmp_path)
    assert written.read_text() == FILES["vocabulary.txt"]
    digest = hashlib.sha256(written.read_bytes()).hexdigest()
    assert hashes(FILES) == {"vocabulary.txt": digest}


def test_weights_of_another_vocabulary_are_refused(tmp_path):
    weights = tmp_path / "weights.safetensors"
    check_beside(FILES, weights)
    write_beside(FILES, tmp_path)
    check_beside(FILES, weights)
    (tmp_path / "vocabulary.txt").write_text("<pad>\nb\n")
    with pytest.raises(ModelError, match=r"were trained with another vocabulary\.txt"):
        check_beside(FILES, weights)
