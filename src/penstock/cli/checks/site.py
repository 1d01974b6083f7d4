"""A site: its brokers, its database, who owns what, whose clock is wrong, how far sources are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

from penstock.cli import wording
from penstock.cli.checks.finding import FAILS, HOLDS, NOTE, Finding
from penstock.core.errors import PenstockError
from penstock.core.rows import HeardRow, PositionRow
from penstock.log.kafka_filling import Filling
from penstock.log.kafka_topic import ensure_topic
from penstock.server.settings import Settings
from penstock.server.site.neighbours import SKEW_S_MAX, Process, processes
from penstock.state.migrations import SCHEMA_VERSION
from penstock.state.postgres.calls import Calls
from penstock.state.postgres.clock import skew_s
from penstock.state.postgres.fence import Owner, owners
from penstock.state.postgres.reading import Reading
from penstock.state.postgres.session import Session, connect, translating
from penstock.state.postgres.settings import PostgresSettings

SILENT_S = 86400.0
"""A source that told nothing for so long deserves a word."""


def findings(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say about a site; asks brokers, database and processes. Blocks."""
    yield from broker(settings)
    try:
        with connect(settings.postgres, "doctor") as session, translating(settings.postgres):
            yield from database(session, settings.postgres)
            is_filled = session.execute("SELECT to_regclass('partitions')").fetchone() != (None,)
            owned = {each.partition: each for each in owners(session)} if is_filled else {}
    except PenstockError as error:
        yield Finding("database", FAILS, str(error), "see [postgres]; its operator's log says more")
        return
    there = asyncio.run(_processes(settings.postgres))
    yield from people(settings, there, owned)
    yield from sources(settings)


def broker(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say about the topic and what we may do with it."""
    try:
        filling = Filling(settings.kafka)
        if filling.there() is None:
            words = f"the topic {settings.kafka.topic!r} is not there"
            made = "it is made at the first start" if settings.kafka.create else "have it made; see [kafka]"
            yield Finding("broker", NOTE, words, made)
            return
        ensure_topic(settings.kafka)
        yield Finding("broker", HOLDS, f"the topic {settings.kafka.topic!r} is as the settings say")
        lacking = {"READ", "WRITE", "DESCRIBE"} - filling.allowed()
    except PenstockError as error:
        yield Finding("broker", FAILS, str(error), "see [kafka]; the brokers' log says more")
        return
    if lacking:
        remedy = f"kafka-acls.sh --add --allow-principal User:… --topic {settings.kafka.topic} " + " ".join(
            f"--operation {each.capitalize()}" for each in sorted(lacking)
        )
        yield Finding("broker rights", FAILS, f"not allowed on the topic: {', '.join(lacking)}", remedy)
    else:
        yield Finding("broker rights", HOLDS, "the topic may be read and written")


def database(session: Session, settings: PostgresSettings) -> Iterator[Finding]:
    """Yield version, schema and clock."""
    version = session.info.server_version // 10000
    yield Finding("database", HOLDS, f"{settings.place}, version {version}, answers")
    asked = session.execute("SELECT to_regclass(%s)", (f"{settings.schema}.meta",)).fetchone()
    if asked is None or asked[0] is None:
        yield Finding(
            "database schema", NOTE, f"schema {settings.schema!r} is empty", "the first start fills it"
        )
    else:
        found = session.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        number = int(found[0]) if found else 0
        state = HOLDS if number == SCHEMA_VERSION else NOTE if number < SCHEMA_VERSION else FAILS
        remedy = {HOLDS: "", NOTE: "the next start brings it up", FAILS: "install the newer Penstock here"}
        words = f"schema {settings.schema!r} has version {number}, this Penstock has {SCHEMA_VERSION}"
        yield Finding("database schema", state, words, remedy[state])
    yield _clock("clock of the database", abs(skew_s(session)))


def _clock(name: str, skew_s: float) -> Finding:
    if skew_s > SKEW_S_MAX:
        words = f"{wording.duration(skew_s)} away from this machine's"
        return Finding(name, FAILS, words, "let both follow one time server (chrony)")
    return Finding(name, HOLDS, "agrees with this machine's")


async def _processes(settings: PostgresSettings) -> list[Process]:
    calls = Calls(settings, "doctor", {})
    keeping = asyncio.create_task(calls.keep())
    try:
        return await processes(calls)
    finally:
        keeping.cancel()


def people(settings: Settings, there: Sequence[Process], owned: dict[int, Owner]) -> Iterator[Finding]:
    """Yield who is there, what they say is wrong, and partitions that nobody works on."""
    for each in there:
        what = f"roles {', '.join(each.roles)}" + (
            f"; partitions {', '.join(map(str, each.partitions))}" if each.partitions else ""
        )
        yield Finding(f"process {each.name}", HOLDS, what)
        yield _clock(f"clock of {each.name}", abs(each.skew_s))
        for part, words in each.troubles.items():
            yield Finding(f"{each.name}: {part}", FAILS, words, "it goes on by itself when that is mended")
    for role in ("sources", "runs", "api"):
        if not any(role in each.roles for each in there):
            yield Finding(f"role {role}", FAILS, "no process has it", f"penstock serve --role {role}")
    versions = {each.version for each in there}
    if len(versions) > 1:
        words = f"versions {', '.join(sorted(versions))} run side by side"
        yield Finding("versions", NOTE, words, "fine for the time of an upgrade")
    worked = {partition for each in there for partition in each.partitions}
    for partition in sorted(set(range(settings.kafka.partitions)) - worked):
        last = owned.get(partition)
        who = f"; {last.owner} had it last" if last is not None else ""
        remedy = "start a process with the role 'runs', or look at what those there say"
        yield Finding(f"partition {partition}", FAILS, f"nobody works on it{who}", remedy)


def sources(settings: Settings) -> Iterator[Finding]:
    """Yield how far each source has read, and when it was last heard of."""
    reading = Reading(settings.postgres, 0)
    try:
        heard = {row.source: row for row in reading.equal(HeardRow, {}) if not row.door}
        positions = reading.equal(PositionRow, {})
    except PenstockError as error:
        yield Finding("sources", NOTE, str(error))
        return
    finally:
        reading.close()
    for name in [each.name for each in settings.storages] + [each.name for each in settings.sources]:
        at = [f"{row.part} at {row.position[:40]}" for row in positions if row.source == name]
        words = f"{len(at)} positions: {', '.join(at[:4])}" if at else "no position yet"
        row = heard.get(name)
        if row is None:
            yield Finding(f"source {name}", NOTE, f"never heard of; {words}", "see its page in the how-tos")
            continue
        silent_s = time.time() - row.last_ns / 1e9
        words = f"last heard {wording.duration(max(silent_s, 0))} ago; {words}"
        late = silent_s > max(SILENT_S, 3 * row.gap_ns / 1e9)
        yield Finding(f"source {name}", NOTE if late else HOLDS, words, "is it still told?" if late else "")
