"""Writes the billing records of what happens in a simulated dCache; loses and doubles them if asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

from penstock.testing.dcache import javajson, records
from penstock.testing.dcache.namespace import Entry
from penstock.testing.dcache.records import Cell, File, Mover, Stamp, User

POOL = Cell("dcache-p11-a", "dcache-p11-aDomain")
DOOR = Cell("webdav-door1", "doorDomain1")
SOMEBODY = User(
    subject=(
        "UidPrincipal[1042]", "GidPrincipal[2042,primary]", "UserNamePrincipal[jmueller]",
        "Origin[192.0.2.17]",
    ),
    name="jmueller",
    uid=1042,
    gid=2042,
)  # fmt: skip
CLIENT = "192.0.2.17"
ZONE = timezone(timedelta(hours=2))
Publisher = Literal["direct", "billing"]


@dataclass(eq=False)
class Transport:
    """The way to Kafka, which promises nothing.

    Attributes:
        sink: Receives records.
        lose: As many records are lost from now on.
        double: As many records come twice.
        hold: As many records are held back, and then come in reverse.
    """

    sink: Callable[[bytes], None]
    lose: int = 0
    double: int = 0
    hold: int = 0
    _held: list[bytes] = field(default_factory=list)

    def send(self, record: bytes) -> None:
        """Bring a record to the sink, or not."""
        if self.lose:
            self.lose -= 1
            return
        if self.hold:
            self.hold -= 1
            self._held.append(record)
            if not self.hold:
                held, self._held = self._held, []
                for each in reversed(held):
                    self.sink(each)
            return
        self.sink(record)
        if self.double:
            self.double -= 1
            self.sink(record)


class BillingWriter:
    """Writes records as doors and pools do, or as the billing service repeats them, or both.

    Args:
        sink: Receives each record's bytes: a list's ``append``, a Kafka producer.
        publishers: Who publishes; with both, every record comes twice, in different bytes.

    Attributes:
        transport: Its faults.
    """

    def __init__(
        self, sink: Callable[[bytes], None], publishers: tuple[Publisher, ...] = ("direct",)
    ) -> None:
        self.transport = Transport(sink)
        self._publishers = publishers
        self._numbers = itertools.count(5001)

    def wrote(self, entry: Entry, status: tuple[int, str] = records.SUCCESS) -> None:
        """Tell of an upload: the pool's transfer and the door's request."""
        self._moved(entry, status, write=True)

    def read(self, entry: Entry, status: tuple[int, str] = records.SUCCESS) -> None:
        """Tell of a download."""
        self._moved(entry, status, write=False)

    def arrived(self, entry: Entry, temporary: str) -> None:
        """Tell of an SRM upload that is done: its request names the temporary path, and the final one."""
        date = java_date(entry.mtime_ms)
        srm = Stamp(
            cell=Cell("SrmManager-door5", "srmDomain"), date=date, session=f"srm2:{next(self._numbers)}"
        )
        born = File(pnfsid=entry.pnfsid, path=temporary, size=entry.size, billing_path=entry.path)
        self._publish(lambda _publisher: records.request(srm, born, SOMEBODY, client=CLIENT))

    def copied(self, entry: Entry) -> None:
        """Tell of a copy from pool to pool."""
        stamp, mover = self._stamp(POOL, entry), self._mover(entry, write=False, p2p=True)
        self._publish(lambda _publisher: records.transfer(stamp, _file(entry), mover, SOMEBODY))

    def removed(self, entry: Entry, path: str) -> None:
        """Tell of a file that a user deleted through a door, and of its replica that went."""
        file = File(pnfsid=entry.pnfsid, path=path, size=0)
        door, pool = self._stamp(DOOR, entry), self._stamp(POOL, entry)
        self._publish(
            lambda _publisher: records.door_remove(door, file, SOMEBODY, client=CLIENT, chain=CLIENT)
        )
        self._publish(lambda _publisher: records.pool_remove(pool, file, "PoolRemoveFiles from cleaner"))

    def stored(self, entry: Entry) -> None:
        """Tell of a flush to tape."""
        self._tape("store", entry)

    def restored(self, entry: Entry) -> None:
        """Tell of a stage from tape."""
        self._tape("restore", entry)

    # -- parts ---------------------------------------------------------------------------------------

    def _moved(self, entry: Entry, status: tuple[int, str], *, write: bool) -> None:
        pool, door = self._stamp(POOL, entry, status), self._stamp(DOOR, entry, status)
        mover = self._mover(entry, write=write, p2p=False, initiator=door.session)
        moved = records.transfer(pool, _file(entry), mover, SOMEBODY)
        self._publish(lambda _publisher: moved)
        self._publish(
            lambda publisher: records.request(
                door,
                _file(entry),
                SOMEBODY,
                client=CLIENT,
                chain=CLIENT,
                duration_ms=12,
                mover=records.mover_info(moved) if publisher == "direct" else None,
            )
        )

    def _tape(self, kind: str, entry: Entry) -> None:
        stamp = self._stamp(POOL, entry)
        uris = [f"osm://osm/?store=p11&group=raw&bfid={entry.pnfsid}"]
        self._publish(
            lambda _publisher: records.tape(kind, stamp, _file(entry), locations=uris, time_ms=1000)
        )

    def _publish(self, write: Callable[[Publisher], dict[str, Any]]) -> None:
        for publisher in self._publishers:
            self.transport.send(javajson.encode(write(publisher)))

    def _stamp(self, cell: Cell, entry: Entry, status: tuple[int, str] = records.SUCCESS) -> Stamp:
        kind = "pool" if cell is POOL else "door"
        session = f"{kind}:{cell.name}@{cell.domain}:{entry.mtime_ms}-{next(self._numbers)}"
        return Stamp(cell=cell, date=java_date(entry.mtime_ms), session=session, status=status)

    def _mover(self, entry: Entry, *, write: bool, p2p: bool, initiator: str = "pool:other@domain") -> Mover:
        return Mover(
            initiator=initiator,
            moved=entry.size,
            time_ms=40,
            write=write,
            p2p=p2p,
            bandwidth=1.2229405740318906e8,
            idle="PT0.041S",
            active="PT0.02S",
        )


def java_date(milliseconds: int, zone: timezone = ZONE) -> str:
    """Return a time as dCache prints it: with offset, and a fraction without zeros at its end."""
    whole, rest = divmod(milliseconds, 1000)
    moment = datetime.fromtimestamp(whole, UTC).astimezone(zone)
    fraction = f".{rest:03d}".rstrip("0").rstrip(".")
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction
    offset = moment.strftime("%z")
    return text + ("Z" if offset == "+0000" else f"{offset[:3]}:{offset[3:]}")


def _file(entry: Entry) -> File:
    return File(pnfsid=entry.pnfsid, path=entry.path, size=entry.size)
