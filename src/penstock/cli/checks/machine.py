"""Interpreter, database library, clock and limits of this machine and user."""

from __future__ import annotations

import ctypes
import platform
import resource
import sqlite3
import sys
import time

from penstock.cli.checks.finding import FAILS, HOLDS, NOTE, Finding

PYTHON_LEAST = (3, 11)
SQLITE_LEAST = (3, 35, 0)
SQLITE_MENDED = (3, 51, 3)
OPEN_FILES_LEAST = 4096
BUILT_S = 1_767_225_600
"""The first of January 2026: a clock that shows less is wrong."""
STA_UNSYNC = 0x40


def findings() -> list[Finding]:
    """Return what there is to say about the machine."""
    return [python(), sqlite(), _clock(), _open_files()]


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Return what there is to say about a version of Python."""
    words = f"Python {'.'.join(map(str, version))}, Linux {platform.release()}, {platform.machine()}"
    if version < PYTHON_LEAST:
        return Finding("python", FAILS, words, "install Python 3.11 or newer: sudo apt install python3")
    return Finding("python", HOLDS, words)


def sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Finding:
    """Return what there is to say about a version of SQLite."""
    words = f"SQLite {'.'.join(map(str, version))}"
    if version < SQLITE_LEAST:
        return Finding("sqlite", FAILS, words, "Penstock needs 3.35 or newer; install a newer Python")
    if version < SQLITE_MENDED:
        return Finding(
            "sqlite",
            HOLDS,
            f"{words}. Before 3.51.3 two connections that write or checkpoint at the same moment may damage "
            "a database in WAL mode; Penstock has one that does, so this cannot happen here. "
            "Do not write to state.db with other programs",
        )
    return Finding("sqlite", HOLDS, words)


class _Timex(ctypes.Structure):
    # ``struct timex`` of adjtimex(2), as far as ``status``; the rest is room.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def _clock() -> Finding:
    remedy = "let it be set: sudo timedatectl set-ntp true"
    if time.time() < BUILT_S:
        return Finding("clock", FAILS, f"it shows {time.strftime('%Y-%m-%d')}, which is past", remedy)
    state = _Timex()
    answer = ctypes.CDLL(None).adjtimex(ctypes.byref(state))
    if answer >= 0 and state.status & STA_UNSYNC:
        words = (
            "the kernel knows of nobody who sets it by a time server; Penstock orders events by its own log"
        )
        return Finding("clock", NOTE, words, f"{remedy} (in a container or virtual machine: on its host)")
    return Finding("clock", HOLDS, "it is set by a time server")


def _open_files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    words = f"{'any number of' if unlimited else hard} open files allowed"
    if not unlimited and hard < OPEN_FILES_LEAST:
        remedy = f"raise it to {OPEN_FILES_LEAST} or more: LimitNOFILE= in the unit, or ulimit -Hn"
        return Finding("open files", NOTE, words, remedy)
    return Finding("open files", HOLDS, words)
