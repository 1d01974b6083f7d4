"""Secrets are named by where they are kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from penstock.core.errors import Invalid, Unavailable
from penstock.outside.secret import Secret


def test_a_file_is_read_at_each_use_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "s"
    secret = Secret(file=str(file))
    file.write_text("one\n")
    assert secret.read() == "one"
    file.write_text("two words\r\n")
    assert secret.read() == "two words"


def test_a_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "s")
    assert Secret(env="A_SECRET").read() == "s"
    monkeypatch.delenv("A_SECRET")
    with pytest.raises(Invalid, match="A_SECRET is not set"):
        Secret(env="A_SECRET").read()


def test_an_absent_file_is_a_matter_of_waiting(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        Secret(file=str(tmp_path / "absent")).read()


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_what_is_no_secret_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(Invalid):
        Secret(file=str(tmp_path / "s")).read()


@pytest.mark.parametrize("given", [{}, {"file": "/a", "env": "B"}, {"file": "relative"}, {"value": "open"}])
def test_a_secret_has_one_place(given: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, Secret)
