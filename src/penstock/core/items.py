"""The items of a map: which are in flight, how each ended, and their results in the order of the list.

One byte per item, one result per item that succeeded, and dictionaries only for the few items that
are not on their first try or that failed: 100,000 items take a few megabytes, and each fact about
an item costs the same however many items there are.

| state     | may become                  |
|-----------|-----------------------------|
| WAITING   | RUNNING                     |
| RUNNING   | RETRYING, SUCCEEDED, FAILED |
| RETRYING  | RUNNING, FAILED (given up)  |
| SUCCEEDED, FAILED | (nothing; ``again`` makes FAILED ones wait in a new run) |
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import Invalid
from penstock.core.workflow import MAP_ITEMS_MAX

ITEM_RESULTS_BYTES_MAX = 64 << 20
"""Most bytes that the results of one map may have together."""
ITEM_ERRORS_MAX = 20
"""Failed items whose error is kept in words; of further ones only the place in the list is known."""
ITEM_ERROR_CHARS_MAX = 500
"""Longest error text kept of one item."""

WAITING, RUNNING, RETRYING, SUCCEEDED, FAILED = range(5)

_NULL = Raw(b"null")
_members = msgspec.json.Decoder(dict[str, Raw])
_elements = msgspec.json.Decoder(list[Raw])


class Items(Struct, omit_defaults=True, kw_only=True):
    """How far a map is. Owned and changed by ``core.run.advance`` alone.

    Attributes:
        states: One byte per item, in the order of the list: WAITING ... FAILED.
        results: One JSON text per item, in the order of the list; null where there is none (yet).
        next: No item before this one is WAITING.
        in_flight: Items that are RUNNING or RETRYING.
        succeeded: Items that have succeeded.
        failed: Items that have failed.
        result_bytes: Bytes in ``results`` altogether, of items that succeeded.
        attempts: Current attempt of unfinished items that are past their first.
        evictions: Tries of unfinished items that were ended from outside, where there are any.
        errors: What went wrong, of the first ``ITEM_ERRORS_MAX`` failed items, or last time of retrying ones.
        stopped: Whether nothing more is launched, because the map has failed already.
        fault: Why it has, if not for the number of failed items.
    """

    states: bytearray
    results: list[Raw]
    next: int = 0
    in_flight: int = 0
    succeeded: int = 0
    failed: int = 0
    result_bytes: int = 0
    attempts: dict[int, int] = {}
    evictions: dict[int, int] = {}
    errors: dict[int, str] = {}
    stopped: bool = False
    fault: str = ""

    def is_running(self, item: int, attempt: int) -> bool:
        """Whether ``attempt`` of ``item`` is in flight."""
        return self._is(RUNNING, item) and self.attempts.get(item, 1) == attempt

    def is_retrying(self, item: int, attempt: int) -> bool:
        """Whether ``item`` waits for another try after ``attempt``."""
        return self._is(RETRYING, item) and self.attempts.get(item, 1) == attempt

    def running(self) -> Iterator[int]:
        """Yield the items of which an attempt is in flight, in order."""
        return self._having(RUNNING)

    def launch(self, window: int) -> Iterator[int]:
        """Yield the items to call now, in order, so that ``window`` are in flight."""
        while not self.stopped and self.in_flight < window:
            item = self.states.find(WAITING, self.next)
            self.next = item + 1 if item >= 0 else len(self.states)
            if item < 0:
                return
            self.states[item] = RUNNING
            self.in_flight += 1
            yield item

    def succeed(self, item: int, result: Raw) -> None:
        """Keep the result of an item that was RUNNING."""
        size = len(memoryview(result))
        if self.result_bytes + size > ITEM_RESULTS_BYTES_MAX:
            self.fail(item, "its result does not fit any more")
            self.fault = self.fault or (
                f"the items' results exceed {ITEM_RESULTS_BYTES_MAX >> 20} MiB together at item {item}: "
                "let the function write large results to output files and answer their names"
            )
            return
        self.results[item] = result.copy()
        self.result_bytes += size
        self.succeeded += 1
        self._end(item, SUCCEEDED)
        self.errors.pop(item, None)

    def fail(self, item: int, error: str) -> None:
        """Count an item that was RUNNING or RETRYING as failed."""
        self.failed += 1
        self._end(item, FAILED)
        self._remember(item, error)

    def retry(self, item: int, error: str) -> None:
        """Let an item that was RUNNING wait before its next try."""
        self.states[item] = RETRYING
        self._remember(item, error)

    def evict(self, item: int) -> int:
        """Count an eviction of an item that was RUNNING; return how many it has had."""
        self.evictions[item] = self.evictions.get(item, 0) + 1
        return self.evictions[item]

    def call_again(self, item: int, attempt: int) -> None:
        """Let an item that was RETRYING run."""
        self.states[item] = RUNNING
        self.attempts[item] = attempt

    def stop(self) -> None:
        """Launch nothing more, and give up what waits for another try."""
        self.stopped = True
        for item in list(self._having(RETRYING)):
            self.fail(item, self.errors.get(item, ""))

    def joined(self) -> Raw:
        """Return the results as one JSON list, in the order of the items, null for failed ones."""
        return Raw(b"[%b]" % b",".join(self.results))

    def failures(self) -> str:
        """Name what failed: ``3 of 100 items failed: 13 (ValueError: no peak), 44, 97``.

        An error equal to the one before it is not repeated.
        """
        named: list[str] = []
        said = ""
        for item in self._having(FAILED):
            if len(named) == ITEM_ERRORS_MAX:
                named.append(f"and {self.failed - ITEM_ERRORS_MAX:,} more")
                break
            error = self.errors.get(item, "")
            named.append(f"{item} ({error})" if error and error != said else f"{item}")
            said = error or said
        count = f"{self.failed:,} of {len(self.states):,} items failed: {', '.join(named)}"
        unstarted = self.states.count(WAITING)
        parts = (self.fault, count, f"{unstarted:,} were not started" if unstarted else "")
        return "; ".join(part for part in parts if part)

    def again(self) -> Items:
        """Return these items for a new run: what succeeded stays, the rest waits for its first try."""
        states = bytearray(SUCCEEDED if state == SUCCEEDED else WAITING for state in self.states)
        return Items(
            states=states,
            results=list(self.results),
            succeeded=self.succeeded,
            result_bytes=self.result_bytes,
        )

    def _having(self, state: int) -> Iterator[int]:
        """Yield the items in ``state``, in order."""
        item = self.states.find(state)
        while item >= 0:
            yield item
            item = self.states.find(state, item + 1)

    def _is(self, state: int, item: int) -> bool:
        return 0 <= item < len(self.states) and self.states[item] == state

    def _end(self, item: int, state: int) -> None:
        self.states[item] = state
        self.in_flight -= 1
        self.attempts.pop(item, None)
        self.evictions.pop(item, None)

    def _remember(self, item: int, error: str) -> None:
        if item in self.errors or len(self.errors) < ITEM_ERRORS_MAX:
            self.errors[item] = shortened(error)


def items_of(count: int) -> Items:
    """Return ``count`` items, none of which has been called."""
    return Items(states=bytearray(count), results=[_NULL] * count)


def elements(result: Raw, members: tuple[str, ...], each: str) -> list[Raw]:
    """Return the elements that a map calls its function with, in order.

    Takes time in proportion to the list: a caller that needs one element after the other keeps it.

    Args:
        result: The JSON answer of the step that ``each`` names.
        members: Where the list is in it: a member of the answer, a member of that, and so on.
        each: As the workflow says it, for the error's sake.

    Raises:
        Invalid: There is no list there, or it is longer than ``MAP_ITEMS_MAX``.
    """
    try:
        for member in members:
            result = _members.decode(result)[member]
        found = _elements.decode(result)
    except KeyError as error:
        raise Invalid(f"'each' names {each!r}, but the answer has no member {error}") from error
    except msgspec.MsgspecError as error:
        raise Invalid(f"'each' names {each!r}, which is no list in the answer: {error}") from error
    if len(found) > MAP_ITEMS_MAX:
        raise Invalid(
            f"'each' names {each!r}, a list of {len(found):,} items; a map takes at most {MAP_ITEMS_MAX:,}: "
            "answer a list of groups instead"
        )
    return found


def shortened(error: str) -> str:
    """Return at most ``ITEM_ERROR_CHARS_MAX`` characters of an error."""
    return error if len(error) <= ITEM_ERROR_CHARS_MAX else f"{error[: ITEM_ERROR_CHARS_MAX - 1]}…"
