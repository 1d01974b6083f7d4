"""Why a worker was ended or has ended, in words that help the function's author."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from penstock.core.function import Function
from penstock.functions.command import OUTSIDE
from penstock.functions.nursery import Notice
from penstock.functions.slot import Slot


@dataclass(frozen=True, slots=True)
class Ending:
    """Why, and what that says of the call that the worker was at.

    Attributes:
        words: For people.
        retryable: As in ``Answer``.
        evicted: As in ``Answer``.
    """

    words: str
    retryable: bool = True
    evicted: bool = False


CLOSED = Ending("the pool of workers was closed before the call was done")
STOPPED = Ending("the call was stopped", retryable=False)
MEDDLED = Ending(
    "the function wrote into its worker's own socket; it may use standard output and its output folder",
    retryable=False,
)
REMEDIES = {
    "memory": "raise the function's memory",
    "processes": "raise the function's processes",
    "threads": "use fewer threads, or raise the function's processes",
    "log": "print less, or raise the function's log",
    "file": "write less, or raise the function's disk",
    "files": "write them into an archive",
    "time": "raise the function's timeout_s",
}
"""By limit: what the function's author may change."""
UNPREPARED = 70
"""Exit code of a worker that could not even be set up."""


def timeout(slot: Slot, allowed_s: float) -> Ending:
    """The call, or the import of the function's file, took too long."""
    name = slot.lane.function.reference
    if slot.ready:
        words = f"took longer than its limit timeout_s of {allowed_s:g} s and was stopped; raise timeout_s"
        return Ending(f"{name} {words}", retryable=False)
    words = f"importing its file took longer than {allowed_s:g} s and was stopped"
    return Ending(f"{name}: {words}", retryable=False)


def breach(slot: Slot, limit: str, reason: str) -> Ending:
    """A limit was crossed."""
    remedy = REMEDIES.get(limit)
    words = f"{slot.lane.function.reference} crossed its limit {limit}: {reason}"
    return Ending(f"{words}; {remedy}" if remedy else words, retryable=False)


def no_worker(function: Function, error: OSError) -> Ending:
    """The environment is not there, or the disk is full."""
    is_gone = isinstance(error, FileNotFoundError)
    where = f" ({error.filename})" if error.filename else ""
    remedy = "deploy the function again" if is_gone else "then try again"
    words = f"{function.reference}: cannot start a worker: {error.strerror}{where}; {remedy}"
    return Ending(words, retryable=not is_gone, evicted=not is_gone)


def of(slot: Slot, notice: Notice) -> Ending:
    """The worker has ended without being asked to.

    A worker in a process namespace of its own cannot send itself SIGKILL; elsewhere nobody can tell who
    sent it, and the number of evictions that are forgiven is what ends a function that does.
    """
    who = f"the worker of {slot.lane.function.reference}"
    if notice.reason:
        return Ending(f"{who} was lost: {notice.reason}", evicted=True)
    code = os.waitstatus_to_exitcode(notice.status)
    if code >= 0:
        words = f"{who} ended with exit code {code}; a function must return, not exit"
        return Ending(words, evicted=code == UNPREPARED and not slot.ready)
    killed = f"{who} was killed by signal {-code} ({signal.Signals(-code).name})"
    if -code in OUTSIDE:
        return Ending(f"{killed} from outside (out of memory, or a person?)", evicted=True)
    return Ending(killed)
