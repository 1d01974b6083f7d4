"""Why a worker was ended or has ended, in words that help the function's author."""

from __future__ import annotations

import os
import signal

from penstock.core.function import Function
from penstock.functions.nursery import Notice
from penstock.functions.slot import Slot

CLOSED = "the pool of workers was closed before the call was done"
STOPPED = "the call was stopped"
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
MEDDLED = "the function wrote into its worker's own socket; it may use standard output and its output folder"


def timeout(slot: Slot, allowed_s: float) -> str:
    """The call, or the import of the function's file, took too long."""
    name = slot.lane.function.reference
    if not slot.ready:
        return f"{name}: importing its file took longer than {allowed_s:g} s and was stopped"
    return f"{name} took longer than its limit timeout_s of {allowed_s:g} s and was stopped; raise timeout_s"


def breach(slot: Slot, notice: Notice) -> str:
    """The zygote's watch has seen a limit crossed."""
    remedy = REMEDIES.get(notice.limit or "")
    words = f"{slot.lane.function.reference} crossed its limit {notice.limit}: {notice.reason}"
    return f"{words}; {remedy}" if remedy else words


def no_worker(function: Function, error: OSError) -> str:
    """The environment is not there, or the disk is full."""
    where = f" ({error.filename})" if error.filename else ""
    remedy = "deploy the function again" if isinstance(error, FileNotFoundError) else "then try again"
    return f"{function.reference}: cannot start a worker: {error.strerror}{where}; {remedy}"


def of(slot: Slot, notice: Notice) -> str:
    """The worker has ended by itself."""
    name = slot.lane.function.reference
    if notice.reason:
        return f"the worker of {name} was lost: {notice.reason}"
    code = os.waitstatus_to_exitcode(notice.status)
    if code >= 0:
        return f"the worker of {name} ended with exit code {code}; a function must return, not exit"
    hint = "; the machine may be out of memory" if code == -signal.SIGKILL else ""
    return f"the worker of {name} was killed by signal {-code} ({signal.Signals(-code).name}){hint}"
