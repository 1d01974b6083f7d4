"""An event's id is unique among those of its source only: two sources may use one."""

from __future__ import annotations

from tests.server.api.served import Served


def test_each_source_s_event_is_explained_by_its_own_run(served: Served) -> None:
    ids = {}
    for source in ("/one", "/other"):
        served.take(id="shared", source=source, type="test.bad", subject=f"of {source[1:]}")
        ids[source] = served.ended_run(subject=f"of {source[1:]}")["id"]
    assert ids["/one"] != ids["/other"]
    events = served.get("events?filter=id%3D%27shared%27")["events"]
    offsets = {entry["event"]["source"]: entry["offset"] for entry in events}
    for source, run in ids.items():
        view = served.get(f"events/{offsets[source]}")
        assert [decision["run"] for decision in view["decisions"]] == [run]
        told = served.get(f"explain?event={offsets[source]}")
        assert run in str(told)
        assert ids[{"/one": "/other", "/other": "/one"}[source]] not in str(told)
    answer = served.ask_api("GET", "explain?event=shared")
    assert answer.status == 422
    for source, offset in offsets.items():
        assert f"{offset} of {source}" in answer.json()["detail"]
