"""The joints between the rooms: what a source, a log, a state, a runtime and a batch system must do.

Each has a fake and a conformance suite in ``penstock.testing``. Implementations are named by the
entry-point groups ``penstock.<room>`` and imported only when the settings name them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol, TypeVar

from msgspec import Raw, Struct

from penstock.core.event import Event
from penstock.core.function import Function
from penstock.core.job import Job, JobNotice
from penstock.core.rows import DeadLetter, FileState, OutputRow, Row

R = TypeVar("R", bound=Row)


Stamp = tuple[Any, ...]
"""A path, and what tells one content there from another: plain, because there are very many of them."""


class Record(Struct, frozen=True, gc=False):
    """An event at its place in the log.

    Attributes:
        partition: From 0.
        offset: Position in the partition, from 0, without gaps.
        appended_ns: The log's own time, POSIX nanoseconds, never falling within a partition.
        event: The event.
    """

    partition: int
    offset: int
    appended_ns: int
    event: Event


class Cursor(Struct, frozen=True):
    """A position in the log: the next offset wanted, per partition. Its text is opaque to users."""

    offsets: tuple[int, ...]


class Log(Protocol):
    """The durable, ordered record of all events."""

    async def append(self, events: Sequence[Event], *, durable: bool = True) -> Sequence[Record]:
        """Append ``events`` in order and return their records.

        With ``durable`` it returns once they are on disk; only then may a source be acknowledged or
        a function be started. Without, they are in order and visible to followers at once, and on
        disk with the next durable append or ``sync``.

        Raises:
            Unavailable: Nothing was appended (disk full, broker away); try again later.
        """

    def write(self, events: Sequence[Event]) -> Sequence[Record]:
        """Append without waiting, in order; on disk with the next durable append or ``sync``.

        Returns:
            The records, or nothing where the log numbers them later (a broker's): they come by ``follow``.

        Raises:
            Unavailable: Nothing was appended; try again later.
        """

    async def sync(self) -> None:
        """Return once everything appended so far is on disk."""

    def follow(self, start: Cursor) -> AsyncIterator[Sequence[Record]]:
        """Yield what is appended from ``start`` on, in batches, and wait for more.

        It never ends by itself; cancel it.

        Raises:
            Trimmed: Retention has removed ``start``.
        """

    def end(self) -> Cursor:
        """Return the position behind the last record."""


class ShardLog(Log, Protocol):
    """One partition of a log, as the shard that folds it needs it."""

    @property
    def place(self) -> str:
        """Where it is, in words for messages."""

    def size(self) -> int:
        """Return how many bytes of it are kept; 0 where that is not ours to say."""

    @property
    def durable_end(self) -> int:
        """Offset behind the last record that is known to be on disk."""

    def read(self, start: int, end: int) -> Sequence[Record]:
        """Return the records from offset ``start`` up to, not including, ``end``. May block.

        Raises:
            Trimmed: Retention has removed ``start``.
        """

    def record(self, offset: int) -> Record:
        """Return one record. May block.

        Raises:
            Trimmed: Retention has removed it.
        """

    def retain(self, pinned: int | None) -> int:
        """Remove what retention lets go, but nothing from ``pinned`` on; return the first offset left."""

    def close(self) -> None:
        """Let go."""


class State(Protocol):
    """The memory of decisions, runs, files and definitions: one database, one writer."""

    @property
    def dirty(self) -> bool:
        """Whether rows are staged."""

    def put(self, *rows: Row) -> None:
        """Stage rows (insert or replace by key). Reads through this object see them at once."""

    async def commit(
        self,
        ready: Callable[[], Awaitable[None]] | None = None,
        stage: Callable[[], None] = lambda: None,
    ) -> None:
        """Return once every row staged so far is on disk, in one transaction with the cursor.

        Args:
            ready: Awaited between taking the staged rows and writing them: the log's ``sync``, so
                that state never knows more than the log.
            stage: Called right before the rows are taken, with nothing in between: it stages what is kept
                elsewhere, so that a cursor is never committed without what it stands for.

        Raises:
            Unavailable: Not now; the rows stay staged.
            Fenced: Another process has taken this partition over; nothing was written.
        """

    async def prefetch(self, wanted: Mapping[type[Row], Collection[tuple[Any, ...]]]) -> None:
        """Make sure that ``get`` answers from memory for these keys, until the next commit begins.

        To be awaited right before the records are folded that ask for them, without another await in
        between. One round trip, whatever the number of kinds; an embedded state has nothing to do.

        Args:
            wanted: Keys by kind of row.

        Raises:
            Unavailable: The database is away; try again later, and fold nothing meanwhile.
        """

    def get(self, kind: type[R], *key: Any) -> R | None:
        """Return one row by its key, staged ones included. Microseconds, if it is embedded or prefetched.

        Raises:
            Unavailable: It had to be asked for, and the database is away.
        """

    def select(self, kind: type[R], **equal: Any) -> list[R]:
        """Return the rows whose fields equal ``equal``, staged ones included, by key."""

    def output(self, path: bytes) -> OutputRow | None:
        """Return who published ``path`` last."""

    def file(self, storage: str, path: bytes) -> FileState | None:
        """Return the ledger's row of a path, staged ones included. Microseconds; never waits for the disk."""

    def files(self, storage: str, folder: bytes) -> AsyncIterator[FileState]:
        """Yield the ledger's rows below ``folder`` (present ones only), in the order of their paths."""

    def stamps(self, storage: str, folder: bytes, fields: Sequence[str]) -> AsyncIterator[Sequence[Stamp]]:
        """Yield the same in pages, of each row its path and these fields: a third of the work."""


class ShardState(State, Protocol):
    """The part of the state that belongs to one shard, as its owner needs it."""

    async def forget(self, *, ended_before_ns: int, offset_before: int) -> int:
        """Remove runs ended before a time and what was seen before an offset; return how many runs went."""

    def close(self) -> None:
        """Let go; rows that were not committed are derived again from the log."""


class Ledger(Protocol):
    """What a source needs of the state: what it knew of its files, and how far it had read."""

    def file(self, storage: str, path: bytes) -> FileState | None:
        """Return the last known state of a path, or None."""

    def positions(self, source: str) -> Mapping[str, str]:
        """Return how far a source had read, by part of its outside system; see ``rows.PositionRow``."""

    def put(self, *rows: Row) -> None:
        """Stage new knowledge; it is committed together with the cursor behind the event."""

    def files(self, storage: str, folder: bytes) -> AsyncIterator[FileState]:
        """Yield what is known and present below ``folder``, by path."""

    def stamps(self, storage: str, folder: bytes, fields: Sequence[str]) -> AsyncIterator[Sequence[Stamp]]:
        """Yield the same in pages, of each row its path and these fields; see ``State.stamps``."""


class Source(Protocol):
    """Turns notices of an outside system into events."""

    name: str

    def events(self) -> AsyncIterator[Sequence[Event]]:
        """Yield batches of new events as they happen: all that is ready now, never waiting to fill up.

        The consumer appends a batch durably before it asks for the next one; asking is the
        acknowledgement. It never ends by itself; cancel it. Notices that cannot be read go to
        the ``dead_letter`` callable that the constructor took, and do not stop the stream.

        Raises:
            Unavailable: The outside system is away; call again after ``retry_after_s``.
            Refused: It can never work like this (a folder on NFS, say); the message says why.
        """

    async def ready(self) -> None:
        """Return once nothing that happens from now on is missed; ``events`` must be followed meanwhile."""

    def listing(self) -> AsyncIterator[Sequence[Event]]:
        """Yield the events of everything that is there now, under the ids they have or would have had.

        For triggers that start with what exists. Nothing is missed or doubled against ``events``: both
        derive the same ids. A source that has no such listing yields nothing.
        """

    async def close(self) -> None:
        """Let go of the outside system."""


DeadLetterSink = Callable[[DeadLetter], None]


class Loss(Struct, frozen=True, kw_only=True):
    """Notices did not reach us, or may not have; a listing of the folder finds what they would have told.

    Attributes:
        storage: Where.
        folder: The smallest folder that everything untold lies below; ``/`` for all of the storage.
        reason: In words: what was lost, and how it is known.
        at_ns: When it was noticed, POSIX nanoseconds.
    """

    storage: str
    folder: bytes = b"/"
    reason: str
    at_ns: int


LossSink = Callable[[Loss], None]


class Covered(Struct, frozen=True, kw_only=True):
    """A source has compared a folder with the ledger by itself.

    Attributes:
        storage: Where.
        folder: With all below it.
        begun_ns: When it began, POSIX nanoseconds: what happened before was told.
        listed: Files found.
        created: Contents told of.
        deleted: Ends told of.
        unread: Folders and files that could not be read; with any, nothing is proven.
    """

    storage: str
    folder: bytes
    begun_ns: int
    listed: int = 0
    created: int = 0
    deleted: int = 0
    unread: int = 0


CoveredSink = Callable[[Covered], None]


class Listed(Struct, frozen=True, kw_only=True):
    """A file as its storage describes it now.

    Attributes:
        path: Absolute.
        size: In bytes.
        mtime_ns: Modification time, which users may set.
        born_ns: Since when this content is there by the storage's own clock, which nobody can set; 0 where
            that is not known.
        version: The storage's own name of the content; empty where it has none.
        native: What names the content where it has no version, as far as the storage says (an eTag).
        checksum: Algorithm to hexadecimal digest.
        owner: As in ``FileRecord``.
        origin: The storage's description, untouched.
    """

    path: bytes
    size: int
    mtime_ns: int
    born_ns: int
    version: str = ""
    native: str = ""
    checksum: dict[str, str] | None = None
    owner: dict[str, Any] | None = None
    origin: Raw = Raw(b"null")


class Look(Enum):
    """What a look at a path found that is no file one can tell of."""

    NOTHING = "nothing"
    """There is surely no file."""
    IGNORED = "ignored"
    """It is nobody's business, whatever is there."""
    UNSETTLED = "unsettled"
    """It may still be being written to; it is told when that has ended."""


class Lister(Protocol):
    """Lists a storage, so that what was lost can be found; see ``core.reconcile``.

    Attributes:
        storage: Its name.
        stamp: The fields of ``FileState`` that tell contents apart in a listing.
    """

    storage: str

    @property
    def stamp(self) -> tuple[str, ...]:
        """See above."""

    async def trees(self) -> Sequence[bytes]:
        """Return the folders that are its business, with all below them.

        Raises:
            Unavailable: The storage has to be asked, and is away.
            Refused: The same, and it will not answer later either.
        """

    def pages(self, folder: bytes) -> AsyncIterator[Sequence[Stamp]]:
        """Yield every file below a folder: its path and its ``stamp``, in the order of the paths' bytes.

        A folder that is not there has no files. A bounded number of questions is ahead of what was taken.

        Raises:
            Unavailable: The listing cannot be had whole; from what is missing nothing follows.
            Refused: The same, and it will not be had later either (no permission, say).
        """

    async def look(self, paths: Sequence[bytes]) -> Sequence[Listed | Look]:
        """Return what is at each path now, in their order.

        Raises:
            Unavailable: It cannot be asked; nothing follows.
            Refused: The same, and it will not be answered later either.
        """

    def is_same(self, stamp: Stamp, known: FileState) -> bool:
        """Whether a listed file is surely the content that is known, though their stamps differ."""

    async def close(self) -> None:
        """Let go of connections."""


class Listable(Protocol):
    """A source whose storage can be listed. Asked for it once, before ``events``."""

    def lister(self) -> Lister | None:
        """Return what lists it; None if the settings do not say how."""


async def _at_once() -> None:
    """Return: there is no disk to wait for."""


class SourceContext(Struct, frozen=True, kw_only=True):
    """What an installation gives to each source.

    Attributes:
        name: Of the source, as configured; unique, and part of positions and of troubles shown.
        ledger: Memory that survives a restart.
        dead_letter: Told of what cannot be read.
        lost: Told where notices were lost, so that the folder is compared with the ledger.
        kept: Returns once all that was told here is on disk. Awaited before an outside system is told to
            forget what became a dead letter; positions are kept together with letters, and need no wait.
    """

    name: str
    ledger: Ledger
    dead_letter: DeadLetterSink
    lost: LossSink = lambda _loss: None
    kept: Callable[[], Awaitable[None]] = _at_once


class SourceKind(Protocol):
    """What an entry point of the group ``penstock.sources`` names: a class with these two members.

    Its name is the ``kind`` of ``[[sources]]`` in the settings; every other member of the table is converted
    to ``Settings``, faults included, before anything is opened.
    """

    Settings: type[Struct]

    def open(self, settings: Any, context: SourceContext) -> Source:
        """Return a source; nothing is connected before ``events`` is asked for. A class method."""


class Receiver(Protocol):
    """A source that outside systems call: what they post at ``/api/v1/sources/NAME`` comes here.

    Such a source is also a ``Source``, whose ``events`` may be silent.
    """

    def receive(self, headers: Mapping[str, str], body: bytes) -> Sequence[Event]:
        """Return the events in one request; they are on disk before it is acknowledged. Pure, no waiting.

        Args:
            headers: Names in lower case.
            body: As sent.

        Raises:
            Unauthenticated: The secret is missing or wrong.
            Invalid: Nothing in it can be understood. What can be is returned, the rest are dead letters.
        """

    async def settled(self) -> None:
        """Return once dead letters that ``receive`` told are on disk; awaited before the answer is sent."""


class Invocation(Struct, frozen=True, kw_only=True):
    """One call of a function.

    Attributes:
        key: ``run/step/item/attempt``; unique among those in flight.
        function: What to call.
        params: The self-sufficient event: a JSON object, encoded.
        scratch: Set by the runtime when the call starts; where the function writes.
    """

    key: str
    function: Function
    params: bytes


class Answer(Struct, frozen=True, kw_only=True):
    """How an invocation ended.

    Attributes:
        key: Of the invocation.
        result: The JSON object it answered, or None if it failed.
        error: What went wrong, in words a scientist can act on; None if it succeeded.
        retryable: Whether the same call may succeed later (a lost worker: yes; a limit: no).
        evicted: Whether it was ended from outside (its worker killed by the kernel or a person, or none
            to be had), not by what the function did; it is tried again beside its rule, a few times.
        scratch: Folder with what it wrote; the caller publishes or removes it, then ``release``s.
        files: Names of the files in ``scratch``, relative, sorted; None if there are none.
        log: ``file:start:end`` of what it printed.
        started_ns: POSIX time at which the worker got it.
        ended_ns: POSIX time at which its answer came.
    """

    key: str
    result: Raw | None = None
    error: str | None = None
    retryable: bool = True
    evicted: bool = False
    scratch: str = ""
    files: tuple[str, ...] | None = None
    log: str = ""
    started_ns: int = 0
    ended_ns: int = 0


class Publication(Struct, frozen=True, kw_only=True):
    """What is to be published for one attempt.

    Attributes:
        key: ``run/step/item/attempt``.
        run: Id of the run.
        tenant: On whose behalf.
        workflow: ``namespace/name@version``, remembered with each output.
        function: ``namespace/name@version``.
        template: Where outputs go; see ``core.template``.
        event: The event that the run works on.
        offset: That event's place in the log; a later one replaces what an earlier one published.
        depth: Of the events that the outputs raise.
        folder: Where the files lie now.
        files: Their names, relative to ``folder``.
        answer: What is told to the log once they are visible; opaque, kept with the intent.
    """

    key: str
    run: str
    tenant: str
    workflow: str
    function: str
    template: str
    event: Event
    offset: int
    depth: int
    folder: str
    files: tuple[str, ...]
    answer: bytes


class Runtime(Protocol):
    """Calls functions. One per kind of runtime; the pool of warm workers is the built-in one."""

    def invoke(self, invocation: Invocation) -> None:
        """Start the call now, or as soon as a worker is free. Never blocks, never raises for the
        function's sake: how it ended is told to the ``answered`` callable the constructor took,
        exactly once per key, from the event loop's thread."""

    def stop(self, key: str) -> None:
        """End this call; its answer comes as an error. Unknown keys are ignored."""

    def release(self, answer: Answer) -> None:
        """Say that the answer's scratch folder is empty again, so that its worker may be reused."""

    def renew(self) -> None:
        """Let no call see the file systems as they were before now: another disk was mounted."""

    def sweep_earlier(self) -> None:
        """Remove what earlier lives of the engine left in scratch folders; called after recovery."""

    async def close(self) -> None:
        """End every worker, with its whole process tree."""


class BatchSystem(Protocol):
    """Runs jobs on a farm. Ends are pushed to the ``noticed`` callable the constructor took."""

    async def submit(self, job: Job) -> str:
        """Queue the job and return the system's own id for it.

        A name that is already queued, running or ended makes no second job.

        Raises:
            Refused: The system will never take this job (asks for more cores than there are).
            Unavailable: Not now.
        """

    async def cancel(self, name: str) -> None:
        """End the job if it has not ended. Unknown names are ignored."""

    async def reconcile(self, names: Sequence[str]) -> dict[str, JobNotice]:
        """Return what the system knows of these jobs; unknown ones are absent. Asked after a restart."""

    async def close(self) -> None:
        """Let go; jobs of an outside system go on, local ones end."""


JobSink = Callable[[JobNotice], None]
AnswerSink = Callable[[Answer], None]
JSON = dict[str, Any]
