import pytest

from edgespiral.core.errors import DataError
from edgespiral.data.files.vocabulary import Vocabulary, words


def test_words_are_lower_case_and_marks_stand_alone():
    assert words("It's 5pm, ÜBER\N{NO-BREAK SPACE}all\n") == ["it's", "5pm", ",", "über", "all"]
    assert words("  \t ") == []


def test_a_vocabulary_has_the_commonest_words_first_and_survives_its_file(tmp_path):
    texts = [["b", "a", "c"], ["b", "a"], ["b"]]
    vocabulary = Vocabulary.of(texts, least_count=2)
    assert vocabulary.tokens == ("<pad>", "<unk>", "b", "a")
    assert vocabulary.ids(["a", "z", "b"], "here") == [3, 1, 2]
    path = tmp_path / "vocabulary.txt"
    path.write_text(vocabulary.text, encoding="utf-8")
    assert Vocabulary.read(path) == vocabulary


def test_a_word_without_a_token_is_told_where_there_is_none_for_the_unknown():
    closed = Vocabulary(("<pad>", "a"))
    assert closed.ids(["a"], "here") == [1]
    with pytest.raises(DataError, match=r"rows\.csv:7: 'z' is not in the vocabulary"):
        closed.ids(["a", "z"], "rows.csv:7")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<pad>\na\na\n", "has 'a' twice"),
        ("a\n<pad>\n", "does not begin with <pad>"),
        ("", "begin"),
    ],
)
def test_a_vocabulary_that_is_none_is_told(tmp_path, text, message):
    path = tmp_path / "vocabulary.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        Vocabulary.read(path)
    with pytest.raises(DataError, match="nowhere: cannot be read"):
        Vocabulary.read(tmp_path / "nowhere")
