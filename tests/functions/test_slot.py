"""The engine's side of a worker: which calls are its own, whoever reads first."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.ports import Invocation
from penstock.functions import protocol
from penstock.functions.slot import Slot

NOBODY: Any = None


@pytest.fixture
def slot() -> Any:
    made = Slot(1, NOBODY, NOBODY, "", "", 0.0)
    yield made
    made.close()


def call(key: str) -> Invocation:
    return Invocation(key=key, function=NOBODY, params=f'{{"run":"{key}"}}'.encode())


@pytest.mark.parametrize("size", [10, protocol.INLINE_BYTES_MAX + 1])
def test_calls_that_the_worker_has_not_read_are_taken_back_in_order(slot: Slot, size: int) -> None:
    calls = [Invocation(key=str(n), function=NOBODY, params=str(n).encode() * size) for n in range(2)]
    for each in calls:
        slot.send(each)
    assert slot.take_back() == calls
    assert not slot.calls


def test_a_call_that_the_worker_reads_while_calls_are_taken_back_stays_its_own(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = call("first"), call("second")
    slot.send(first)
    slot.send(second)
    receive = protocol.receive

    def receive_and_let_the_worker_read(sock: Any, flags: int = 0) -> bytes:
        message = receive(sock, flags)
        if message == first.params:
            assert receive(slot.far) == second.params
        return message

    monkeypatch.setattr(protocol, "receive", receive_and_let_the_worker_read)
    assert slot.take_back() == [first]
    assert list(slot.calls) == [second]


def test_a_call_that_was_answered_unasked_is_nobodys_any_more(slot: Slot) -> None:
    slot.send(call("only"))
    slot.calls.clear()
    assert slot.take_back() == []
