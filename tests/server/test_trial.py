"""Trying the examples out, as ``penstock test`` does."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Invalid
from penstock.functions.outcome import Outcome
from penstock.server.settings import Places
from penstock.server.trial import trial

EXAMPLES = Path(__file__).parents[2] / "examples"


def tried(file: Path, given: Path, **options: Any) -> Outcome:
    folder = given.parent / "places"
    places = Places(config=folder, data=folder, state=folder, cache=folder, runtime=folder)
    return trial(file, given, places, **options)


def test_the_smallest_example_works(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("three short words")
    outcome = tried(EXAMPLES / "summarise.py", text)
    assert outcome.result == {"words": 3}
    assert [each.published for each in outcome.calls[0].outputs] == [str(tmp_path / "derived/a.words.txt")]


def test_the_workflow_example_works(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("x,y\n1,2\n3,6\n")
    outcome = tried(EXAMPLES / "scan.py", table, keep=tmp_path / "kept")
    assert outcome.error is None
    assert outcome.calls[-1].outputs[0].file.read_text() == "x: 1 .. 3, mean 2\ny: 2 .. 6, mean 4\n"


def test_the_yaml_example_works(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("one two")
    outcome = tried(EXAMPLES / "checksum.yaml", text, keep=tmp_path / "kept")
    assert outcome.phases == {"words": "succeeded", "checksum": "succeeded"}
    written = outcome.calls[1].outputs[0]
    assert written.published == str(tmp_path / "checksums/a.txt.sha256")
    assert written.file.read_text() == f"{sha256(b'one two').hexdigest()}  a.txt\n"
    text.write_text("")
    assert tried(EXAMPLES / "checksum.yaml", text).phases["checksum"] == "skipped"


def test_what_was_not_named_is_missed_as_in_the_server(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("1")
    (tmp_path / "helper.py").write_text("LINE = 'helped'")
    file = tmp_path / "f.py"
    file.write_text(
        "import helper\nfrom pathlib import Path\n"
        "def main(params):\n"
        "    print(helper.LINE)\n"
        "    return {'n': Path(__file__).with_name('table.csv').read_text()}\n"
    )
    lines: list[str] = []
    outcome = tried(file, file, on_line=lines.append)
    assert lines[0] == "helped"
    assert "table.csv" in str(outcome.error)
    file.write_text("# /// script\n# [tool.penstock]\n# include = ['*.csv']\n# ///\n" + file.read_text())
    assert tried(file, file).result == {"n": "1"}


def test_a_name_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="summarise"):
        tried(EXAMPLES / "summarise.py", tmp_path / "a", name="sumarise")


@pytest.mark.net
@pytest.mark.slow
def test_the_example_with_a_dependency_works(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    picture.write_bytes(_png())
    lines: list[str] = []
    outcome = tried(EXAMPLES / "thumbnail.py", picture, progress=lines.append)
    assert outcome.result == {"width": 1, "height": 1}
    assert any("locking pillow" in line for line in lines)
    assert not any("pillow==" in line for line in lines), "the installer is quiet"


def _png() -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
