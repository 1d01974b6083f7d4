"""What state remembers: one frozen record per row, keyed by its first fields.

Rooms hand these to ``ports.State``; no room knows the database. Every row that belongs
to somebody carries the tenant. See ``design: log is the truth``: each of these rows but
definitions can be derived again from the log since the last committed cursor.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Row(Struct, frozen=True, gc=False):
    """One row of state; its first fields are its key (see ``state.tables``).

    Rows hold texts and numbers, so none can be part of a ring: the garbage collector need not look at them.
    """


class CursorRow(Row, frozen=True, gc=False):
    """How far a reader has folded a partition: ``offset`` is the next record wanted."""

    reader: str
    partition: int
    offset: int


class Outcome(StrEnum):
    """What was decided for one event and one trigger."""

    MATCHED = "matched"
    DUPLICATE = "duplicate"
    HELD = "held"
    REFUSED = "refused"
    LOOP = "loop"
    PAUSED = "paused"


class Decision(Row, frozen=True, gc=False, kw_only=True):
    """What was decided for one event and one trigger, and the run it started.

    ``source`` is the event's: an id is unique among those of its source only. It is empty in rows that an
    older Penstock wrote.
    """

    event_id: str
    source: str
    trigger: str
    tenant: str
    offset: int
    subject: str
    outcome: Outcome
    run: str = ""
    reason: str = ""
    at_ns: int = 0


class RunRow(Row, frozen=True, gc=False, kw_only=True):
    """A run as it stands; ``snapshot`` is ``core.run.Run`` in JSON."""

    id: str
    tenant: str
    workflow: str
    trigger: str
    event_id: str
    subject: str
    phase: str
    started_ns: int
    ended_ns: int
    error: str = ""
    snapshot: bytes = b""


class AttemptRow(Row, frozen=True, gc=False, kw_only=True):
    """One try of one step (or of one item of a map, else ``item`` is -1).

    ``log`` is ``file:start:end``, the bytes of the log file that this try wrote.
    ``outputs`` is a JSON list of published paths.
    """

    run: str
    step: str
    item: int
    attempt: int
    tenant: str
    phase: str
    function: str
    place: str = ""
    started_ns: int = 0
    ended_ns: int = 0
    error: str = ""
    result: bytes = b""
    outputs: str = "[]"
    log: str = ""


class FileState(Row, frozen=True, gc=False, kw_only=True):
    """The ledger's last knowledge of a path; ``generation`` counts its contents from 1.

    ``version`` is the storage's own name of the content (dCache's pnfsid, an S3 version); empty where there
    is none and the generation is the version, as in folders. ``offset`` is the place in the log of the last
    event about the path.
    """

    storage: str
    path: bytes
    generation: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    present: bool
    event_id: str = ""
    version: str = ""
    offset: int = 0


class PositionRow(Row, frozen=True, gc=False):
    """How far a source has read a part of its outside system (a topic's partition, an event stream).

    ``position`` is the source's own text. It is committed behind the events that it covers, so a source
    that goes on from it reads some notices twice at worst, and their ids say so.
    """

    source: str
    part: str
    position: str


class TreeRow(Row, frozen=True, gc=False, kw_only=True):
    """What is known of a tree's completeness: what was lost in it, and when a comparison last found it whole.

    A tree is a folder of a storage with all below it. It is open, that is to be compared, while ``lost_ns``
    is above 0; the numbers are then those of the comparison under way, otherwise of the last one.

    Attributes:
        lost_ns: When the loss was noticed that is not made good yet; 0 if there is none.
        reason: Why it is or was compared, in words.
        proven_ns: Up to when everything is known to have been told: the begin of the last whole comparison.
        by: What proved it: the source that listed.
        listed: Files found.
        created: Contents told of.
        deleted: Ends told of.
        trouble: Why the last try did not get to its end, in words; empty if it did.
        since_ns: Since when we ask for events of it; what is older and unknown was there before. 0 in rows
            of folders within a tree.
    """

    storage: str
    folder: bytes
    lost_ns: int = 0
    reason: str = ""
    proven_ns: int = 0
    by: str = ""
    listed: int = 0
    created: int = 0
    deleted: int = 0
    trouble: str = ""
    since_ns: int = 0


class HeardRow(Row, frozen=True, gc=False, kw_only=True):
    """When a source, or a door of its storage, was last heard of, and how long it usually is silent.

    Attributes:
        source: Its name.
        door: The door's; empty for the source as a whole.
        last_ns: Of its last notice, POSIX nanoseconds.
        gap_ns: The longest silence between notices; longer ones fade as notices come.
        count: Notices since it was first heard of; after a crash some may be missing.
    """

    source: str
    door: str
    last_ns: int
    gap_ns: int = 0
    count: int = 0


class Seen(Row, frozen=True, gc=False):
    """An event id taken in from outside, kept as long as the log is."""

    source: str
    event_id: str
    offset: int


class Intent(Row, frozen=True, gc=False, kw_only=True):
    """Moves that publish one attempt's outputs; durable before the first move.

    ``moves`` is a JSON list of ``[from, to]``; ``answer`` the attempt's outcome, emitted when done.
    """

    key: str
    run: str
    tenant: str
    moves: bytes
    answer: bytes
    done: bool = False


class OutputRow(Row, frozen=True, gc=False, kw_only=True):
    """Who published a path last: the input it was made from, and its maker: workflow, step and item."""

    path: bytes
    tenant: str
    run: str
    subject: str
    workflow: str
    offset: int
    depth: int
    inode: int
    published_ns: int
    event_id: str = ""
    step: str = ""
    item: int = -1


class TimerRow(Row, frozen=True, gc=False, kw_only=True):
    """A deadline that survives a restart; ``fact`` is JSON, sent when ``due_ns`` has come."""

    id: str
    run: str
    due_ns: int
    fact: bytes
    done: bool = False


class DeadLetterKind(StrEnum):
    """What ended up as a dead letter."""

    NOTICE = "notice"
    """Something a source could not read."""
    EVENT = "event"
    """Something sent in that is no event."""
    STEP = "step"
    """A step that ran out of tries."""
    LOOP = "loop"
    """An event that a ring of triggers raised."""


class DeadLetter(Row, frozen=True, gc=False, kw_only=True):
    """What could not be processed, with its reason, for a person to see and replay."""

    id: str
    tenant: str
    kind: str
    subject: str
    reason: str
    body: bytes
    run: str = ""
    at_ns: int = 0
    state: str = "open"


class DefinitionKind(StrEnum):
    """What a definition defines."""

    FUNCTION = "function"
    WORKFLOW = "workflow"
    TRIGGER = "trigger"


class Definition(Row, frozen=True, gc=False, kw_only=True):
    """A function, workflow or trigger at one version (0 for triggers), as JSON in ``body``."""

    kind: str
    tenant: str
    name: str
    version: int
    body: bytes
    deployed_ns: int
    active: bool = True
