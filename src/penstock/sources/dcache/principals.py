"""Who did it: dCache's principals and addresses, as a file record shows them. Pure, cached.

A site has few users and millions of records, so what is read from a subject is kept by its bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

SUBJECTS_MAX = 4096
"""Different subjects remembered; a forgotten one is read again."""
_PEOPLE = ("UserNamePrincipal", "OidcSubjectPrincipal", "LoginNamePrincipal", "KerberosPrincipal")
"""Kinds of principals that name a person, the best known name first."""
_strings = msgspec.json.Decoder(list[str])


@lru_cache(maxsize=SUBJECTS_MAX)
def owner_of(subject: bytes) -> dict[str, Any] | None:
    """Return ``{"subject", "uid", "gids"}`` as far as the JSON array of principals says; None if nothing.

    Members read ``Type[value]``, where the value may hold brackets; a certificate's name stands alone.

    Raises:
        msgspec.MsgspecError: It is no array of strings.
    """
    found: dict[str, list[str]] = {}
    for principal in _strings.decode(subject):
        kind, value = _split(principal)
        found.setdefault(kind, []).append(value)
    owner: dict[str, Any] = {}
    if name := next((found[kind][0] for kind in (*_PEOPLE, "DN") if kind in found), ""):
        owner["subject"] = name
    if (uid := _number(found.get("UidPrincipal", [""])[0])) is not None:
        owner["uid"] = uid
    if gids := _gids(found.get("GidPrincipal", [])):
        owner["gids"] = gids
    return owner or None


@lru_cache(maxsize=SUBJECTS_MAX)
def mapped_owner(owner: str | None, uid: int, gid: int) -> dict[str, Any] | None:
    """Return the owner that a door names; -1 stands for nobody mapped."""
    found: dict[str, Any] = {}
    if owner:
        found["subject"] = owner
    if uid >= 0:
        found["uid"] = uid
    if gid >= 0:
        found["gids"] = [gid]
    return found or None


@lru_cache(maxsize=SUBJECTS_MAX)
def client_of(address: str | None, protocol: str | None) -> dict[str, Any] | None:
    """Return ``{"address", "protocol"}`` as far as known, the protocol in lower case."""
    found = {}
    if address and address != "unknown":
        found["address"] = address
    if protocol:
        found["protocol"] = protocol.lower()
    return found or None


def _split(principal: str) -> tuple[str, str]:
    head, bracket, tail = principal.partition("[")
    if not bracket or not tail.endswith("]") or head.startswith("/"):
        return "DN", principal
    return head, tail[:-1]


def _gids(values: list[str]) -> list[int]:
    """Return group numbers, the primary one first."""
    ordered = sorted(values, key=lambda value: not value.endswith(",primary"))
    numbers = (_number(value.removesuffix(",primary")) for value in ordered)
    return [number for number in numbers if number is not None]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
