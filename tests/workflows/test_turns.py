"""At most so many at once, the rest in their order."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from penstock.workflows.turns import Turns


def test_who_leaves_makes_room_for_the_first_that_waits() -> None:
    turns = Turns()
    assert [turns.ask("f", name, 2) for name in "abcd"] == [True, True, False, False]
    assert turns.ask("g", "other", 1)
    assert turns.is_waiting("c")
    assert turns.leave("b") == "c"
    assert not turns.is_waiting("c")
    assert turns.leave("nobody") is None


def test_who_stops_waiting_takes_nobody_s_place() -> None:
    turns = Turns()
    for name in "abc":
        turns.ask("f", name, 1)
    assert turns.leave("b") is None
    assert turns.leave("a") == "c"
    assert turns.leave("c") is None
    assert turns.ask("f", "a", 1)


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_nobody_is_forgotten_and_never_too_many_go(most: int, steps: list[tuple[bool, int]]) -> None:
    turns, going, waiting = Turns(), set[str](), deque[str]()
    for number, (asks, place) in enumerate(steps):
        if asks or (not going and not waiting):
            (going.add if turns.ask("f", str(number), most) else waiting.append)(str(number))
        else:
            name = sorted([*going, *waiting])[place % (len(going) + len(waiting))]
            following = turns.leave(name)
            was_going = name in going
            going.discard(name)
            if not was_going:
                waiting.remove(name)
            assert following == (waiting.popleft() if was_going and waiting else None)
            going |= {following} - {None}  # type: ignore[arg-type]
        assert len(going) == min(most, len(going) + len(waiting))
        assert all(turns.is_waiting(name) for name in waiting)
