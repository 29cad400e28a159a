import re
import sys
import unicodedata

from edgespiral.data.files.marks import MARKS


def test_marks_of_all_scripts_are_there_and_neither_signs_nor_blanks_nor_kana():
    of_class = re.compile(f"[{MARKS}]")
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        kind = unicodedata.category(character)[0]
        if kind == "M" and not "\u3040" <= character <= "\u30ff":
            assert of_class.match(character), hex(code)
        elif kind in "PSZ" or character in "東あ":
            assert not of_class.match(character), hex(code)
