"""From files to deployable definitions, on the examples that the documentation shows."""

from hashlib import sha256
from pathlib import Path

import pytest

from penstock.functions.local import select, try_out
from penstock.server.definitions import Loaded, copied, load

EXAMPLES = Path(__file__).parents[2] / "examples"


def loaded(name: str, cache: Path) -> Loaded:
    return load(EXAMPLES / name, tenant="local", principal="me", cache=cache)


def test_the_smallest_example_works(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("three short words")
    deployment = loaded("summarise.py", tmp_path).deployment
    outcome = try_out(deployment.functions, select(deployment.functions, deployment.workflows), text)
    assert outcome.result == {"words": 3}
    assert [each.published for each in outcome.calls[0].outputs] == [str(tmp_path / "derived/a.words.txt")]


def test_the_workflow_example_works(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("x,y\n1,2\n3,6\n")
    deployment = loaded("scan.py", tmp_path).deployment
    outcome = try_out(
        deployment.functions,
        select(deployment.functions, deployment.workflows),
        table,
        keep=tmp_path / "kept",
    )
    assert outcome.error is None
    assert outcome.calls[-1].outputs[0].file.read_text() == "x: 1 .. 3, mean 2\ny: 2 .. 6, mean 4\n"


def test_the_yaml_example_works(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("one two")
    definitions = loaded("checksum.yaml", tmp_path)
    deployment = copied(definitions, tmp_path / "data")
    intake = select(deployment.functions, deployment.workflows)
    outcome = try_out(deployment.functions, intake, text, keep=tmp_path / "kept")
    assert outcome.phases == {"words": "succeeded", "checksum": "succeeded"}
    written = outcome.calls[1].outputs[0]
    assert written.published == str(tmp_path / "checksums/a.txt.sha256")
    assert written.file.read_text() == f"{sha256(b'one two').hexdigest()}  a.txt\n"
    text.write_text("")
    assert try_out(deployment.functions, intake, text).phases["checksum"] == "skipped"


def test_a_copy_has_a_digest_of_all_that_is_said_about_it(tmp_path: Path) -> None:
    file = tmp_path / "f.py"

    def digest(memory: str) -> str:
        file.write_text(f"from penstock import function\n@function(memory='{memory}')\ndef f(c): ...\n")
        definitions = load(file, tenant="local", principal="me", cache=tmp_path)
        return copied(definitions, tmp_path / "data").functions[0].source_digest

    first = digest("1GiB")
    assert digest("1GiB") == first
    assert digest("2GiB") != first


@pytest.mark.net
@pytest.mark.slow
def test_the_example_with_a_dependency_works(tmp_path: Path) -> None:
    definitions = loaded("thumbnail.py", tmp_path / "cache")
    assert "pillow==" in definitions.environments["thumbnail.py"].lock
    picture = tmp_path / "p.png"
    picture.write_bytes(_png())
    deployment = copied(definitions, tmp_path / "data")
    outcome = try_out(deployment.functions, select(deployment.functions, deployment.workflows), picture)
    assert outcome.result == {"width": 1, "height": 1}


def _png() -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
