"""Reads what strace saw, and checks that nothing is told before it is on disk.

A write to a log segment holds its events' ids in its data. A sync that begins after such a write has ended,
and returns 0, makes those events durable. Whatever sends an event over a socket (an invocation to a worker,
an acknowledgement to a client) must begin after that return.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

STRACE = ("-D", "-f", "-q", "-y", "-s", "1048576", "-e", "trace=write,writev,sendto,sendmsg,fdatasync,fsync")
"""Arguments with which strace tells enough; ``-D`` leaves the engine our child."""

_LINE = re.compile(r"^(?P<thread>\d+) +(?P<rest>.*)$", re.DOTALL)
_CALL = re.compile(r"^(?P<name>\w+)\(\d+<(?P<target>[^>]*)>(?P<rest>.*)$", re.DOTALL)
_RESUMED = re.compile(r"^<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$", re.DOTALL)
_UNFINISHED = "<unfinished ...>"
_ID = re.compile(r'\\"id\\":\\"([^"\\]+)\\"')
_RESULT = re.compile(r"= (-?\d+)[^=]*$")


@dataclass
class Call:
    """A system call of one thread, from its begin to its end."""

    name: str
    target: str
    ids: tuple[str, ...]
    succeeded: bool = False


@dataclass
class Told:
    """What became of one event.

    Attributes:
        written: Whether a segment holds it.
        durable: Whether a sync holds that.
        sent: How often it went over a socket.
        early: How often before it was durable.
    """

    written: bool = False
    durable: bool = False
    sent: int = 0
    early: int = 0


@dataclass
class Checker:
    """Follows the calls in the order in which the kernel saw them."""

    events: dict[str, Told] = field(default_factory=lambda: defaultdict(Told))
    _unsynced: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _syncing: dict[int, set[str]] = field(default_factory=dict)

    def begins(self, call: Call) -> None:
        """A call begins."""
        if call.name in ("fdatasync", "fsync"):
            self._syncing[id(call)] = set(self._unsynced[call.target])
        elif call.target.startswith(("socket:", "UNIX", "TCP")):
            for name in call.ids:
                told = self.events[name]
                told.sent += 1
                told.early += not told.durable

    def ends(self, call: Call) -> None:
        """A call has returned."""
        if call.name in ("fdatasync", "fsync"):
            held = self._syncing.pop(id(call))
            if call.succeeded:
                self._unsynced[call.target] -= held
                for name in held:
                    self.events[name].durable = True
        elif call.target.endswith(".segment") and call.succeeded:
            self._unsynced[call.target].update(call.ids)
            for name in call.ids:
                self.events[name].written = True


def check(trace: Path) -> dict[str, Told]:
    """Return what became of each event that the trace tells of."""
    checker = Checker()
    for begins, call in _calls(trace.read_text(errors="replace").splitlines()):
        if begins:
            checker.begins(call)
        else:
            checker.ends(call)
    return dict(checker.events)


def _calls(lines: Iterable[str]) -> Iterator[tuple[bool, Call]]:
    """Yield the begin and the end of each call, in the order of the trace."""
    pending: dict[str, Call] = {}
    for line in lines:
        matched = _LINE.match(line)
        if matched is None:
            continue
        thread, rest = matched["thread"], matched["rest"]
        if resumed := _RESUMED.match(rest):
            call = pending.pop(thread, None)
            if call is not None:
                call.succeeded = _succeeded(resumed["rest"])
                yield False, call
        elif begun := _CALL.match(rest):
            call = Call(begun["name"], begun["target"], tuple(_ID.findall(begun["rest"])))
            yield True, call
            if rest.endswith(_UNFINISHED):
                pending[thread] = call
            else:
                call.succeeded = _succeeded(begun["rest"])
                yield False, call


def _succeeded(rest: str) -> bool:
    result = _RESULT.search(rest)
    return result is not None and int(result[1]) >= 0
