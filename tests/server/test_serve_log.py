"""Messages of a detached Penstock are bounded."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from penstock.server.serve_log import Bounded, rotate


def test_a_file_that_is_full_is_emptied_and_its_writers_go_on(tmp_path: Path) -> None:
    file = tmp_path / "serve.log"
    with file.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        rotate(file, 100)
        assert not (tmp_path / "serve.log.1").exists()
        rotate(file, 99)
        writer.write(b"more")
    assert file.read_bytes() == b"more"
    assert (tmp_path / "serve.log.1").read_bytes() == b"x" * 100


def test_messages_are_told_and_the_file_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "serve.log"
    with file.open("a") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        handler = Bounded(file, 1000)
        for number in range(100):
            handler.emit(logging.makeLogRecord({"msg": f"message {number} " + "." * 50}))
    assert file.stat().st_size <= 1100
    assert (tmp_path / "serve.log.1").stat().st_size <= 1100
    assert "message 99 " in file.read_text() + (tmp_path / "serve.log.1").read_text()


def test_no_file_is_no_trouble(tmp_path: Path) -> None:
    rotate(tmp_path / "none", 0)
    assert os.listdir(tmp_path) == []
