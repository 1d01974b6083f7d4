"""HTTP over a Unix socket, and errors that keep their class."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.client.transport import Transport, problem, socket_path
from penstock.core import errors
from penstock.server.settings import places
from tests.client.fake_api import serving


@pytest.mark.parametrize(
    ("home", "environment"),
    [
        ("/h", {}),
        (None, {"PENSTOCK_HOME": "/p", "HOME": "/u"}),
        (None, {"XDG_RUNTIME_DIR": "/r", "HOME": "/u"}),
        (None, {"XDG_STATE_HOME": "/s", "HOME": "/u"}),
        (None, {"HOME": "/u"}),
    ],
)
def test_the_socket_is_where_the_server_puts_it(
    home: str | None, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PENSTOCK_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert socket_path(home) == places(home, dict(os.environ)).runtime / "api.sock"


def test_an_answer_is_decoded_and_parameters_are_encoded(tmp_path: Path) -> None:
    with serving(tmp_path) as api:
        api.set("GET /runs", {"runs": []})
        transport = Transport(socket_path(tmp_path))
        assert transport.ask("GET", "/runs", {"path": "/a b&c", "limit": 3, "trigger": None}) == {"runs": []}
        assert api.asked == [("GET /runs?path=%2Fa+b%26c&limit=3", None)]


def test_a_path_that_is_no_utf8_is_sent_byte_by_byte(tmp_path: Path) -> None:
    with serving(tmp_path) as api:
        api.set("GET /explain", {})
        Transport(socket_path(tmp_path)).ask("GET", "/explain", {"path": os.fsdecode(b"/caf\xe9")})
        assert api.asked == [("GET /explain?path=%2Fcaf%E9", None)]


def test_a_stream_gives_ids_names_and_data(tmp_path: Path) -> None:
    frames = [b": here\n\n", b'id: 4\ndata: {"a"', b':1}\n\nevent: end\ndata: {"b":2}\n\n']
    with serving(tmp_path) as api:
        api.set("GET /events/stream", (200, frames))
        stream = Transport(socket_path(tmp_path)).stream("/events/stream", ends=True)
        assert list(stream) == [("4", "", {"a": 1}), ("4", "end", {"b": 2})]


def test_a_stream_that_shall_not_end_says_that_the_server_went_away(tmp_path: Path) -> None:
    with serving(tmp_path) as api:
        api.set("GET /events/stream", (200, [b"data: 1\n\n"]))
        stream = Transport(socket_path(tmp_path)).stream("/events/stream")
        assert next(stream) == ("", "", 1)
        with pytest.raises(errors.ConnectionLost, match="went away"):
            next(stream)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"type": "urn:penstock:problem:not-found", "status": 404, "detail": "x"}, errors.NotFound),
        (
            {"type": "urn:penstock:problem:function-failed", "status": 500, "detail": "x"},
            errors.FunctionFailed,
        ),
        ({"type": "about:blank", "status": 409, "title": "x"}, errors.Conflict),
        (
            {"type": "urn:penstock:problem:trimmed", "status": 410, "detail": "x", "first": "7"},
            errors.Trimmed,
        ),
        ({"type": "urn:penstock:problem:too-large", "status": 413, "detail": "x"}, errors.Refused),
        ({"type": "urn:penstock:problem:broken", "status": 500, "detail": "x"}, errors.Broken),
        ({"status": 503, "detail": "x"}, errors.Unavailable),
    ],
)
def test_problem_details_become_the_error_they_were(
    document: dict[str, object], kind: type[errors.PenstockError]
) -> None:
    error = problem(document)
    assert type(error) is kind
    assert str(error) == "x"


def test_every_fault_of_a_refused_request_is_kept() -> None:
    error = problem(
        {"type": "urn:penstock:problem:invalid", "status": 422, "detail": "bad", "faults": ["a", "b"]}
    )
    assert isinstance(error, errors.Invalid)
    assert error.faults == ("a", "b")
    assert str(error) == "bad\n  a\n  b"


def test_an_answer_that_is_no_problem_document_is_told_as_it_is(tmp_path: Path) -> None:
    with serving(tmp_path) as api:
        api.set("GET /status", (502, b"a proxy is in the way"))
        with pytest.raises(errors.Broken, match="a proxy is in the way"):
            Transport(socket_path(tmp_path)).ask("GET", "/status")


def test_nobody_there_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable, match="penstock serve"):
        Transport(socket_path(tmp_path)).ask("GET", "/status")


def test_a_path_that_is_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match="shorter --home"):
        Transport(socket_path(tmp_path / ("x" * 120))).ask("GET", "/status")


def test_importing_the_client_stays_light() -> None:
    heavy = ("asyncio", "msgspec", "aiohttp", "starlette", "sqlalchemy", "rich", "click", "penstock.server")
    code = "import sys, penstock.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not set(heavy) & set(loaded.split())
