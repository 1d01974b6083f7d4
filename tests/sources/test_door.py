"""Secrets of those who post."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from penstock.core.errors import Invalid, Unauthenticated
from penstock.outside.secret import Secret
from penstock.sources.door import SignatureDoor, TokenDoor, opened

SECRET = b"0123456789abcdef"


def test_a_short_secret_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("hunter2")
    with pytest.raises(Invalid, match="openssl rand") as caught:
        opened(Secret(file=str(tmp_path / "short")))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "header", ["Bearer 0123456789abcdef", "bearer 0123456789abcdef", "Basic eDowMTIzNDU2Nzg5YWJjZGVm"]
)
def test_the_token_lets_in(header: str) -> None:
    TokenDoor(SECRET).check({"authorization": header}, b"")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer x",
        "0123456789abcdef",
        "Digest 0123456789abcdef",
        "Basic !",
        "Basic eDp5",
        "Bearer ü",
    ],
)
def test_anything_else_does_not(header: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        TokenDoor(SECRET).check({"authorization": header}, b"")
    assert SECRET.decode() not in str(caught.value)


def test_a_signature_is_of_this_body() -> None:
    door = SignatureDoor(SECRET, "X-Hub-Signature-256")
    good = hmac.new(SECRET, b"body", hashlib.sha256).hexdigest()
    for given in (good, f"sha256={good}", good.upper()):
        door.check({"x-hub-signature-256": given}, b"body")
    for headers, body in (
        ({}, b"body"),
        ({"x-hub-signature-256": good}, b"other"),
        ({"x-hub-signature-256": "ü"}, b"body"),
    ):
        with pytest.raises(Unauthenticated):
            door.check(headers, body)


def test_settings_choose_the_door(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(SECRET + b"\n")
    place = Secret(file=str(tmp_path / "s"))
    assert isinstance(opened(place), TokenDoor)
    assert isinstance(opened(place, "X-Signature"), SignatureDoor)
    with pytest.raises(Invalid, match="signature_header"):
        opened(place, "X Signature")
    assert base64.b64encode(b"x:" + SECRET).decode() == "eDowMTIzNDU2Nzg5YWJjZGVm"
