"""Ids of runs."""

from __future__ import annotations

from penstock.core.event import Event
from penstock.core.lifecycle import run_id


def test_events_of_two_outsiders_with_one_id_start_two_runs() -> None:
    ids = {run_id("local", "t", Event(id="1", source=source, type="test"), 0) for source in ("/a", "/b")}
    assert len(ids) == 2


def test_the_same_file_event_starts_one_run_whoever_tells_of_it() -> None:
    event = Event(id="local:1", source="/storages/local", type="test")
    again = Event(id="local:1", source="/storages/local", type="test", cause="r")
    assert run_id("local", "t", event, 0) == run_id("local", "t", again, 0)
    assert run_id("local", "t", event, 0) != run_id("local", "t", event, 1)
