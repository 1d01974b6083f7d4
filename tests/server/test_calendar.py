"""A clock that stands ahead removes next to nothing."""

from __future__ import annotations

from penstock.server.calendar import PACE, SET_NS, START_NS, Calendar
from penstock.testing.state import MemoryState

DAY = 86_400 * 10**9
TODAY = SET_NS + 300 * DAY


class Machine:
    """A machine whose clock can be set."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.wall_ns = TODAY
        self.running_ns = 5 * DAY
        self.start()

    def start(self) -> None:
        """Begin a new life."""
        self.calendar = Calendar(self.state, lambda: self.wall_ns, lambda: self.running_ns)

    def now(self, passed: int = 0) -> int:
        """Return what the calendar says after so many days."""
        self.wall_ns += passed * DAY
        self.running_ns += passed * DAY
        return self.calendar.now_ns()


def test_a_clock_that_is_right_is_followed() -> None:
    machine = Machine()
    assert [machine.now(passed) - TODAY for passed in (0, 1, 30)] == [0, DAY, 31 * DAY]
    machine.start()
    assert machine.now() - TODAY == 31 * DAY


def test_a_clock_that_jumps_ahead_and_back_changes_nothing() -> None:
    machine = Machine()
    machine.now()
    machine.wall_ns += 365 * DAY
    assert machine.now() == TODAY
    machine.running_ns += DAY // 24
    assert machine.now() == TODAY + PACE * DAY // 24
    machine.wall_ns -= 365 * DAY
    assert machine.now() == TODAY


def test_starts_with_a_clock_that_stands_ahead_cost_a_day_each() -> None:
    machine = Machine()
    machine.now()
    machine.wall_ns += 365 * DAY
    for count in (1, 2, 3):
        machine.start()
        assert machine.now() == TODAY + count * START_NS


def test_after_a_long_standstill_time_is_caught_up_with() -> None:
    machine = Machine()
    machine.now()
    machine.wall_ns += 30 * DAY
    machine.start()
    assert machine.now() == TODAY + START_NS
    assert machine.now(40) == TODAY + 70 * DAY


def test_a_clock_that_was_never_set_is_not_remembered() -> None:
    machine = Machine()
    machine.wall_ns = 5
    assert machine.now() == 5
    machine.wall_ns = TODAY
    assert machine.now() == TODAY
