"""Events by the clock: cron with time zones, daylight saving and a policy for what was missed.

::

    [[sources]]
    kind = "schedule"
    name = "nightly"
    cron = "30 2 * * *"
    zone = "Europe/Berlin"
    missed = "once"

Each time it is due raises ``penstock.schedule.due`` of ``/schedules/NAME``, under an id made of the schedule
and that time: however the clock is set, it is raised once. What is due in an hour that daylight saving leaves
out comes at the first moment behind it (02:30 at 03:00). In an hour that comes twice a fixed time of day is
due the first time only, ``*/30`` in both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from msgspec import Struct

from penstock.core.errors import Invalid
from penstock.core.event import Event, json_data, notice_id, subject_of
from penstock.core.ports import SourceContext
from penstock.core.rows import DeadLetter, DeadLetterKind, PositionRow
from penstock.sources.alarm import Alarm

TYPE = "penstock.schedule.due"
PART = "due"
"""The one part of its position: the last time that was dealt with, ISO 8601 in UTC."""
COUNTED_MAX = 100_000
"""Missed times that are counted; more are said to be more."""


class Missed(StrEnum):
    """What becomes of times that passed while nobody looked: stopped, asleep, the clock set forwards."""

    SKIP = "skip"
    """Nothing; a dead letter says how many."""
    ONCE = "once"
    """The last of them is raised, and says how many there were."""
    ALL = "all"
    """All are raised, ``missed_max`` at most, the newest; a dead letter says how many were given up."""


class ScheduleSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule.

    Attributes:
        cron: Minute, hour, day of month, month, day of week; see crontab(5).
        zone: Name of a time zone, such as ``Europe/Berlin``.
        missed: What becomes of missed times: ``skip``, ``once`` or ``all``.
        missed_max: Most missed times that ``all`` raises.
        late_s: A time that passed no longer ago is not missed, only late.
        data: Further members of the event's data.
    """

    cron: str
    zone: str = "UTC"
    missed: Missed = Missed.ONCE
    missed_max: int = 100
    late_s: float = 60.0
    data: dict[str, str] = {}


class Schedule:
    """The source of kind ``schedule``.

    Args:
        settings: When.
        context: What the installation gives.
        alarm: The clock.

    Raises:
        Invalid: The expression or the zone is none.
    """

    Settings = ScheduleSettings

    def __init__(
        self, settings: ScheduleSettings, context: SourceContext, alarm: Alarm | None = None
    ) -> None:
        self.name = context.name
        self._settings = settings
        self._context = context
        self._alarm = alarm or Alarm()
        self._zone = _zone(settings.zone)
        self._closed = asyncio.Event()
        self._ready = asyncio.Event()
        _checked(settings)

    @classmethod
    def open(cls, settings: ScheduleSettings, context: SourceContext) -> Schedule:
        """Return the source.

        Raises:
            Invalid: The expression or the zone is none.
        """
        return cls(settings, context)

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Yield an event when it is due. See ``core.ports.Source``."""
        last = self._begun()
        self._ready.set()
        closing = asyncio.create_task(self._closed.wait())
        try:
            while not self._closed.is_set():
                due = next(self._times(last), None)
                if due is None:
                    await closing
                elif due > self._now():
                    await self._sleep(due, closing)
                else:
                    last, events = self._due(last)
                    if events:
                        yield events
                    self._keep(last)
        finally:
            closing.cancel()

    async def ready(self) -> None:
        """Return once it watches the clock."""
        await self._ready.wait()

    async def listing(self) -> AsyncIterator[Sequence[Event]]:
        """Yield nothing: there is nothing but the future."""
        nothing: tuple[Sequence[Event], ...] = ()
        for batch in nothing:
            yield batch

    async def close(self) -> None:
        """End ``events``."""
        self._closed.set()

    async def _sleep(self, due: datetime, closing: asyncio.Task[bool]) -> None:
        waiting = asyncio.create_task(self._alarm.wait(_nanoseconds(due)))
        try:
            await asyncio.wait({waiting, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if waiting.done() and not waiting.cancelled():
            waiting.result()

    def _begun(self) -> datetime:
        """Return the last time dealt with; at the very first start that is now."""
        kept = self._context.ledger.positions(self.name).get(PART)
        if kept is not None:
            return datetime.fromisoformat(kept)
        now = self._now()
        self._keep(now)
        return now

    def _keep(self, last: datetime) -> None:
        self._context.ledger.put(PositionRow(self.name, PART, last.isoformat()))

    def _now(self) -> datetime:
        whole, rest = divmod(self._alarm.now_ns(), 1_000_000_000)
        return datetime.fromtimestamp(whole, UTC) + timedelta(microseconds=rest // 1000)

    def _times(self, after: datetime) -> Iterator[datetime]:
        """Yield the times it is due after a moment, in UTC; it ends where there are none for fifty years."""
        for due in CronSim(self._settings.cron, after.astimezone(self._zone)):
            yield due.astimezone(UTC)

    def _due(self, last: datetime) -> tuple[datetime, list[Event]]:
        """Return the newest time that has passed, and the events of those since ``last``."""
        now = self._now()
        passed: list[datetime] = []
        count = 0
        for due in self._times(last):
            if due > now or count >= COUNTED_MAX:
                break
            count += 1
            passed.append(due)
            del passed[: -max(self._settings.missed_max + 1, 2)]
        newest = passed[-1]
        late = (now - newest).total_seconds() > self._settings.late_s
        told = self._chosen(passed, newest_is_missed=late)
        if dropped := count - len(told):
            self._tell_missed(dropped, newest, told)
        missed = count - (0 if late else 1)
        return newest, [self._event(due, missed if due == told[-1] else 0) for due in told]

    def _chosen(self, passed: list[datetime], *, newest_is_missed: bool) -> list[datetime]:
        policy = self._settings.missed
        if policy is Missed.ALL:
            return passed[-(self._settings.missed_max + (not newest_is_missed)) :]
        return [] if newest_is_missed and policy is Missed.SKIP else passed[-1:]

    def _tell_missed(self, dropped: int, newest: datetime, told: list[datetime]) -> None:
        """Say what was given up; one event for several is what ``once`` is for."""
        if self._settings.missed is Missed.ONCE:
            return
        more = " or more" if dropped >= COUNTED_MAX - 1 else ""
        self._context.dead_letter(
            DeadLetter(
                id=notice_id(self.name, "missed", newest.isoformat().encode()),
                tenant="",
                kind=DeadLetterKind.NOTICE,
                subject=f"/schedules/{self.name}",
                reason=(
                    f"schedule {self.name!r} ({self._settings.cron}): {dropped}{more} times passed while "
                    f"nobody looked and raised nothing (missed = {self._settings.missed.value!r}); last "
                    f"{newest.isoformat()}, {len(told)} were raised"
                ),
                body=bytes(json_data({"dropped": dropped, "newest": newest.isoformat()})),
                at_ns=self._alarm.now_ns(),
            )
        )

    def _event(self, due: datetime, missed: int) -> Event:
        at = due.isoformat().replace("+00:00", "Z")
        members = {
            **self._settings.data,
            "schedule": self.name,
            "due": at,
            "local": due.astimezone(self._zone).isoformat(),
            "missed": missed,
        }
        subject = subject_of(f"/schedules/{self.name}".encode())
        return Event(
            id=notice_id(self.name, "due", at.encode()),
            source=f"/schedules/{self.name}",
            type=TYPE,
            subject=subject,
            time=at,
            partitionkey=subject,
            datacontenttype="application/json",
            data=json_data(members),
        )


def _checked(settings: ScheduleSettings) -> None:
    faults = []
    try:
        CronSim(settings.cron, datetime.now(UTC))
    except CronSimError as error:
        faults.append(
            f"cron = {settings.cron!r}: {error}; expected minute hour day month weekday, as crontab(5)"
        )
    if settings.missed_max < 1:
        faults.append(f"missed_max = {settings.missed_max}: expected 1 at least")
    if settings.late_s < 0:
        faults.append(f"late_s = {settings.late_s}: expected 0 at least")
    if faults:
        raise Invalid("the schedule cannot work:", tuple(faults))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid(f"zone = {name!r} is not known here; expected a name such as Europe/Berlin") from error


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
