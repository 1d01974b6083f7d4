"""The billing records of dCache, member by member, from what happened.

Each function returns the document of one record; ``javajson.encode`` makes its bytes. Times come in as
dCache writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from penstock.testing.dcache.javajson import Shrunk

STORAGE_CLASS = "p11:raw@osm"
SUCCESS = (0, "")
UNKNOWN = "Unknown"
_MOVED_OUT = ("subject", "pnfsid", "fileSize", "initiator", "billingPath", "storageInfo")
"""Members of a transfer that a door leaves out of its ``moverInfo``."""


class Cell(Struct, frozen=True):
    """Who sends a record: a cell in its domain."""

    name: str
    domain: str


class User(Struct, frozen=True, kw_only=True):
    """Who did it, as the records show it."""

    subject: tuple[str, ...]
    name: str | None = None
    uid: int = -1
    gid: int = -1


class File(Struct, frozen=True, kw_only=True):
    """The file that a record is about.

    Attributes:
        pnfsid: Its name for ever.
        path: Where, in the namespace; that of the request.
        size: In bytes.
        billing_path: Path at its birth, where it is another one.
        storage_info: ``class@hsm``.
    """

    pnfsid: str | None
    path: str
    size: int
    billing_path: str | None = None
    storage_info: str | None = STORAGE_CLASS

    @property
    def told_path(self) -> str:
        """The path in ``billingPath``."""
        return self.path if self.billing_path is None else self.billing_path


class Mover(Struct, frozen=True, kw_only=True):
    """How bytes were moved. Bandwidths in bytes per second, idle and active as ISO 8601 durations."""

    initiator: str
    moved: int
    time_ms: int
    write: bool
    protocol: str = "Https"
    versions: tuple[int, int] = (1, 1)
    host: str = "192.0.2.17"
    port: int = 0
    p2p: bool = False
    bandwidth: float | None = None
    idle: str | None = None
    active: str | None = None
    endpoint: str | None = "198.51.100.21:24017"


class Stamp(Struct, frozen=True, kw_only=True):
    """What every record says: who, when, in which session, and how it went."""

    cell: Cell
    date: str
    session: str
    status: tuple[int, str] = SUCCESS
    queuing_ms: int | None = 0


def transfer(stamp: Stamp, file: File, mover: Mover, user: User) -> dict[str, Any]:
    """Return the record of one mover on a pool."""
    side = "write" if mover.write else "read"
    mean = "meanWriteBandwidth" if mover.write else "meanReadBandwidth"
    return {
        "date": stamp.date,
        f"{side}Active": mover.active,
        "msgType": "transfer",
        "cellName": stamp.cell.name,
        "session": stamp.session,
        "subject": list(user.subject),
        "initiator": mover.initiator,
        "transferPath": file.path,
        mean: mover.bandwidth,
        f"{side}Idle": mover.idle,
        "queuingTime": stamp.queuing_ms,
        "cellDomain": stamp.cell.domain,
        "isP2p": mover.p2p,
        "transferTime": mover.time_ms,
        "version": "1.0",
        "storageInfo": file.storage_info,
        "transferSize": mover.moved,
        "localEndpoint": mover.endpoint,
        "protocolInfo": {
            "protocol": mover.protocol,
            "port": mover.port,
            "host": mover.host,
            "transferTag": "",
            "versionMajor": mover.versions[0],
            "versionMinor": mover.versions[1],
        },
        "cellType": "pool",
        "fileSize": file.size,
        "pnfsid": file.pnfsid,
        "billingPath": file.told_path,
        "isWrite": side,
        "status": _status(stamp),
    }


def mover_info(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a door repeats of a transfer's record."""
    kept = {name: value for name, value in record.items() if name not in _MOVED_OUT and value is not None}
    return Shrunk(kept, len([name for name in _MOVED_OUT if record.get(name) is not None]))


def request(
    stamp: Stamp,
    file: File,
    user: User,
    *,
    client: str = "unknown",
    chain: str = "unknown",
    duration_ms: int = 0,
    mover: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a door's record of a client's request; ``mover`` is its transfer's ``mover_info``."""
    return _by_door("request", stamp, file, user, client, chain, duration_ms) | {
        "moverInfo": mover,
        "storageInfo": file.storage_info,
    }


def door_remove(
    stamp: Stamp, file: File, user: User, *, client: str = "unknown", chain: str = "unknown"
) -> dict[str, Any]:
    """Return the record of a file that a user deleted through a door."""
    return _by_door("remove", stamp, file, user, client, chain, 0)


def pool_remove(stamp: Stamp, file: File, reason: str) -> dict[str, Any]:
    """Return the record of a replica that went; the file may live on."""
    return {
        **_head("remove", stamp),
        "subject": ["UidPrincipal[0]", "GidPrincipal[0,primary]"],
        "storageInfo": file.storage_info,
        "cellType": "pool",
        "fileSize": file.size,
        "queuingTime": stamp.queuing_ms,
        "pnfsid": file.pnfsid,
        "transaction": stamp.session,
        "billingPath": UNKNOWN,
        "status": {"msg": reason, "code": stamp.status[0]},
    }


def tape(
    kind: str, stamp: Stamp, file: File, *, locations: Sequence[str], time_ms: int, hsm: str = "osm"
) -> dict[str, Any]:
    """Return the record of a ``store`` to tape or a ``restore`` from it."""
    return {
        **_head(kind, stamp),
        "hsm": {"instance": hsm, "provider": "script", "type": hsm},
        "transferTime": time_ms,
        "storageInfo": file.storage_info,
        "cellType": "pool",
        "fileSize": file.size,
        "queuingTime": stamp.queuing_ms,
        "locations": list(locations),
        "pnfsid": file.pnfsid,
        "transaction": stamp.session,
        "billingPath": file.told_path if kind == "store" else UNKNOWN,
        "status": _status(stamp),
    }


def hit(stamp: Stamp, file: File, protocol: str, *, cached: bool) -> dict[str, Any]:
    """Return the record of a pool that was chosen for a read; only the billing service publishes it."""
    return {
        **_head("hit", stamp),
        "session": None,
        "filesize": file.size,
        "storageInfo": file.storage_info,
        "protocol": protocol,
        "cellType": "pool",
        "cached": cached,
        "pnfsid": file.pnfsid,
        "billingPath": file.told_path,
        "status": _status(stamp),
    }


def warning(stamp: Stamp, cell_type: str) -> dict[str, Any]:
    """Return a warning's record; only the billing service publishes it."""
    return {**_head("warning", stamp), "session": None, "cellType": cell_type, "status": _status(stamp)}


def _head(kind: str, stamp: Stamp) -> dict[str, Any]:
    return {
        "date": stamp.date,
        "msgType": kind,
        "cellName": stamp.cell.name,
        "session": stamp.session,
        "version": "1.0",
        "cellDomain": stamp.cell.domain,
    }


def _by_door(
    kind: str, stamp: Stamp, file: File, user: User, client: str, chain: str, duration_ms: int
) -> dict[str, Any]:
    head = {name: value for name, value in _head(kind, stamp).items() if name != "version"}
    return {
        **head,
        "owner": user.name,
        "clientChain": chain,
        "mappedGID": user.gid,
        "subject": list(user.subject),
        "transferPath": file.path,
        "sessionDuration": duration_ms,
        "cellType": "door",
        "fileSize": file.size,
        "mappedUID": user.uid,
        "VERSION": "1.0",
        "queuingTime": stamp.queuing_ms,
        "client": client,
        "pnfsid": file.pnfsid,
        "billingPath": file.told_path,
        "status": _status(stamp),
    }


def _status(stamp: Stamp) -> dict[str, Any]:
    return {"msg": stamp.status[1], "code": stamp.status[0]}
