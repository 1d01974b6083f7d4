"""The simulator writes the very bytes of the sample records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.testing.dcache import javajson, records
from penstock.testing.dcache.records import Cell, File, Mover, Stamp, User

SAMPLES = sorted((Path(__file__).parent.parent / "data" / "dcache" / "billing").glob("*.jsonl"))
LINES = [
    (path.stem, number, raw) for path in SAMPLES for number, raw in enumerate(path.read_bytes().splitlines())
]


def stamp(told: dict[str, Any]) -> Stamp:
    cell = Cell(told["cellName"], told["cellDomain"])
    status = (told["status"]["code"], told["status"]["msg"])
    return Stamp(
        cell=cell, date=told["date"], session=told.get("session", ""), status=status,
        queuing_ms=told.get("queuingTime"),
    )  # fmt: skip


def file(told: dict[str, Any]) -> File:
    billing_path = told.get("billingPath", "")
    return File(
        pnfsid=told.get("pnfsid"),
        path=told.get("transferPath", billing_path),
        size=told.get("fileSize", told.get("filesize", 0)),
        billing_path=billing_path,
        storage_info=told.get("storageInfo"),
    )


def user(told: dict[str, Any]) -> User:
    return User(
        subject=tuple(told.get("subject", ())), name=told.get("owner"), uid=told.get("mappedUID", -1),
        gid=told.get("mappedGID", -1),
    )  # fmt: skip


def mover(told: dict[str, Any]) -> Mover:
    protocol = told["protocolInfo"]
    return Mover(
        initiator=told.get("initiator", ""), moved=told["transferSize"], time_ms=told["transferTime"],
        write=told["isWrite"] == "write", protocol=protocol["protocol"], host=protocol["host"],
        port=protocol["port"],
        versions=(protocol["versionMajor"], protocol["versionMinor"]), p2p=told["isP2p"],
        bandwidth=told.get("meanWriteBandwidth", told.get("meanReadBandwidth")),
        idle=told.get("writeIdle", told.get("readIdle")),
        active=told.get("writeActive", told.get("readActive")),
        endpoint=told.get("localEndpoint"),
    )  # fmt: skip


def written(told: dict[str, Any]) -> dict[str, Any]:
    """Write the record again from what it says."""
    kind = told["msgType"]
    if kind == "transfer":
        return records.transfer(stamp(told), file(told), mover(told), user(told))
    if kind == "request":
        inner = told.get("moverInfo")
        info = None
        if inner is not None:
            whole = {**told, **inner, "initiator": told["session"], "subject": []}
            info = records.mover_info(records.transfer(stamp(inner), file(whole), mover(inner), user(told)))
        return records.request(
            stamp(told), file(told), user(told), client=told["client"], chain=told["clientChain"],
            duration_ms=told["sessionDuration"], mover=info,
        )  # fmt: skip
    if kind == "remove" and told["cellType"] == "door":
        return records.door_remove(
            stamp(told), file(told), user(told), client=told["client"], chain=told["clientChain"]
        )
    if kind == "remove":
        return records.pool_remove(stamp(told), file(told), told["status"]["msg"])
    if kind in ("store", "restore"):
        return records.tape(
            kind, stamp(told), file(told), locations=told["locations"], time_ms=told["transferTime"]
        )
    if kind == "hit":
        return records.hit(stamp(told), file(told), told["protocol"], cached=told["cached"])
    return records.warning(stamp(told), told["cellType"])


@pytest.mark.parametrize(("name", "number", "raw"), LINES, ids=[f"{name}-{n + 1}" for name, n, _ in LINES])
def test_each_sample_is_written_byte_for_byte(name: str, number: int, raw: bytes) -> None:
    assert javajson.encode(written(json.loads(raw))) == raw


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.2229405740318906e8, "1.2229405740318906E8"),
        (3276800.0, "3276800"),
        (34479.02143890569, "34479.02143890569"),
        (4e7, "4.0E7"),
        (1.5e-5, "1.5E-5"),
        (1e22, "1.0E22"),
        (0.5, "0.5"),
    ],
)
def test_numbers_are_printed_as_java_does(value: float, text: str) -> None:
    assert javajson.encode(value).decode() == text
    assert json.loads(text) == value


def test_text_is_escaped_as_the_json_library_does() -> None:
    assert javajson.encode('</a>\u2028\x01ü/"').decode() == '"<\\/a>\\u2028\\u0001ü/\\""'
