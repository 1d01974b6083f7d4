"""What the engine tells a zygote about a worker."""

from __future__ import annotations

import os
from typing import Any

from penstock.functions import cgroup, confine
from penstock.functions.bootstrap import PACKAGE
from penstock.functions.settings import PoolSettings
from penstock.functions.slot import Slot


def fork(slot: Slot, settings: PoolSettings) -> dict[str, Any]:
    """Fork this worker; it gets everything it will ever know of us here."""
    function = slot.lane.function
    return {
        "do": "fork",
        "worker": slot.number,
        "function": function.reference,
        "code": function.code,
        "entry": function.entry,
        "command": function.command,
        "slot": slot.folder,
        "log": slot.log,
        "answer_bytes_max": settings.answer_bytes_max,
        "plan": _plan(slot, settings),
    }


def watch(slot: Slot) -> dict[str, Any]:
    """Watch the call that this worker is at; it may have printed something already."""
    limits = slot.lane.function.limits
    return {
        "do": "watch",
        "worker": slot.number,
        "limits": {
            "memory_bytes": limits.memory_bytes,
            "processes": limits.processes,
            "log": slot.log,
            "log_bytes": limits.log_bytes,
            "log_from": slot.log_end,
            "scratch": [slot.folder],
            "file_bytes": limits.file_bytes,
        },
    }


def group(slot: Slot, settings: PoolSettings) -> str:
    """The folder of this worker's control group; empty without."""
    return os.path.join(settings.cgroup, str(slot.number)) if settings.cgroup else ""


def _plan(slot: Slot, settings: PoolSettings) -> dict[str, Any]:
    function = slot.lane.function
    limits = function.limits
    if settings.cgroup:
        tasks = confine.tasks_most(limits.processes)
        cgroup.child(settings.cgroup, str(slot.number), memory_bytes=limits.memory_bytes, tasks=tasks)
    return {
        "write": [slot.folder],
        "read": [*settings.read, function.code or slot.folder, str(PACKAGE)],
        "memory_bytes": limits.memory_bytes,
        "processes": limits.processes,
        # The kernel's limit counts for the log too, which has many calls; the exact one is seen to elsewhere.
        "file_bytes": max(limits.file_bytes, settings.log_file_bytes_max + limits.log_bytes),
        "log_bytes": limits.log_bytes,
        "network": limits.network,
        "demoted": slot.demoted,
        "cgroup": group(slot, settings) or None,
    }
