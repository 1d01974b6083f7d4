"""Waiting for a moment of the machine's clock, however often that is set meanwhile. See timerfd_create(2).

The kernel keeps the appointment: nothing is asked for while waiting, a machine that slept wakes up to it, and
a clock that is set forwards or back ends the wait at once.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import time

from penstock.core.errors import Broken

_CLOCK_REALTIME = 0
_ABSOLUTE_AND_CANCEL_ON_SET = 3
_ONCE = (0, 0)


class _Spec(ctypes.Structure):
    _fields_ = (("every", ctypes.c_long * 2), ("at", ctypes.c_long * 2))


_libc = ctypes.CDLL(None, use_errno=True)


class Alarm:
    """The clock, and waiting for it."""

    def now_ns(self) -> int:
        """Return the clock's time, POSIX nanoseconds."""
        return time.time_ns()

    async def wait(self, until_ns: int) -> None:
        """Return at ``until_ns``, or earlier if the clock was set: look at it again."""
        if until_ns <= time.time_ns():
            return
        timer = _timer(until_ns)
        loop = asyncio.get_running_loop()
        rung = loop.create_future()
        loop.add_reader(timer, _ring, timer, rung)
        try:
            await rung
        finally:
            loop.remove_reader(timer)
            os.close(timer)


def _ring(timer: int, rung: asyncio.Future[None]) -> None:
    try:
        os.read(timer, 8)
    except OSError as error:
        if error.errno != errno.ECANCELED:
            raise
    if not rung.done():
        rung.set_result(None)


def _timer(until_ns: int) -> int:
    timer: int = _libc.timerfd_create(_CLOCK_REALTIME, os.O_CLOEXEC | os.O_NONBLOCK)
    if timer < 0:
        raise Broken(f"the kernel has no timer for us: {os.strerror(ctypes.get_errno())}")
    at = divmod(until_ns, 1_000_000_000)
    spec = _Spec((ctypes.c_long * 2)(*_ONCE), (ctypes.c_long * 2)(*at))
    if _libc.timerfd_settime(timer, _ABSOLUTE_AND_CANCEL_ON_SET, ctypes.byref(spec), None):
        number = ctypes.get_errno()
        if number != errno.ECANCELED:
            os.close(timer)
            raise Broken(f"the kernel does not set the timer: {os.strerror(number)}")
    return timer
