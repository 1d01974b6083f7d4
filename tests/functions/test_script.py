"""The block at the top of a file, and which Pythons fulfil what it asks for."""

from pathlib import Path

import pytest

from penstock.core.errors import Invalid
from penstock.functions.script import Script, read, satisfies


def block(folder: Path, text: str) -> Path:
    file = folder / "f.py"
    file.write_text(text)
    return file


def test_the_block_is_read_wherever_it_stands(tmp_path: Path) -> None:
    text = (
        '"""Doc."""\r\n# /// script\r\n# dependencies = [\r\n#   "a",\r\n# ]\r\n#\r\n# [tool.penstock]\r\n'
        '# include = ["x"]\r\n# ///\r\nimport a\r\n'
    )
    assert read(block(tmp_path, text)) == Script(dependencies=("a",), include=("x",))


def test_other_blocks_and_comments_are_none(tmp_path: Path) -> None:
    assert read(block(tmp_path, "# /// other\n# x\n# ///\n    # /// script\n")) == Script()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# /// script\n# dependencies = []\nimport x\n", "does not end"),
        ("# /// script\n# ///\n\n# /// script\n# ///\n", "f.py:4: a second"),
        ("# /// script\n# [tool.penstock]\n# include = 'x'\n# ///\n", "tool.penstock.include"),
    ],
)
def test_a_block_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        read(block(tmp_path, text))


@pytest.mark.parametrize(
    ("requires", "fulfilled"),
    [
        ("", True),
        (">=3.11", True),
        (">=3.11.8", False),
        (">= 3.9, < 3.12", True),
        ("<3.11", False),
        ("==3.11.*", True),
        ("==3.11", False),
        ("!=3.11.*", False),
        ("~=3.10", True),
        ("~=3.11.2", True),
        ("~=3.12.0", False),
        (">3.11.7", False),
        ("<=3.11.7", True),
    ],
)
def test_a_version_fulfils_a_specifier(requires: str, fulfilled: bool) -> None:
    assert satisfies((3, 11, 7), requires) is fulfilled
