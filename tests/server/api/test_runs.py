"""Runs, logs, outputs, dead letters and explanations, on a running installation."""

from __future__ import annotations

import asyncio
import os
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.server.api.served import Served


def drawn(served: Served, name: str, content: str = "points") -> tuple[Path, dict[str, str]]:
    path = served.files / name
    path.write_text(content)
    return path, served.ended_run(subject=str(path), workflow="local/drawn@1")


def test_a_run_is_shown_with_steps_attempts_outputs_and_event(served: Served) -> None:
    path, run = drawn(served, "shown.raw")
    found = served.get(f"runs/{run['id']}")
    assert found["run"]["phase"] == "succeeded"
    assert found["trigger_name"] == "local/drawn"
    assert found["event"]["event"]["data"]["path"] == str(path)
    (step,) = found["steps"]
    assert (step["name"], step["phase"], step["result"]) == ("drawn", "succeeded", {"bytes": 6})
    assert step["attempts"][0]["log_bytes"] == len("drawing 6\n")
    assert {Path(output["path"]).name for output in found["outputs"]} == {"shown.png", "shown.html"}


def test_runs_are_listed_by_what_is_asked_for_and_go_on(served: Served) -> None:
    for name in ("list-1.raw", "list-2.raw"):
        path, run = drawn(served, name)
    assert [each["id"] for each in served.get(f"runs?path={path}")["runs"]] == [run["id"]]
    assert served.get("runs?workflow=local/drawn@1&state=succeeded&limit=1")["runs"]
    assert served.get("runs?trigger=drawn&limit=1")["next"]
    assert served.get("runs?workflow=local/other")["runs"] == []
    first = served.get("runs?workflow=local/drawn&limit=1")
    second = served.get(f"runs?workflow=local/drawn&limit=1&before={first['next']}")
    assert first["runs"][0]["id"] != second["runs"][0]["id"]
    assert served.ask_api("GET", "runs?trigger=none").status == 404
    assert served.ask_api("GET", "runs?before=x").status == 422
    assert served.ask_api("GET", "runs/none").status == 404


def test_outputs_are_served_as_what_they_are_and_can_run_nothing(served: Served) -> None:
    _, run = drawn(served, "served.raw")
    outputs = {Path(o["path"]).suffix: o for o in served.get(f"runs/{run['id']}")["outputs"]}
    image = served.ask_api("GET", outputs[".png"]["href"])
    assert image.body == b"\x89PNGpoints"
    assert image.headers["content-type"] == "image/png"
    assert image.headers["content-disposition"].startswith("inline")
    page = served.ask_api("GET", outputs[".html"]["href"])
    assert page.headers["content-type"].startswith("text/html")
    for answer in (image, page):
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "number", ["99", "-1", "x", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "0%00", "1e1", "٣"]
)
def test_nothing_but_a_run_s_outputs_is_served(served: Served, number: str) -> None:
    _, run = drawn(served, "confined.raw")
    answer = served.ask_api("GET", f"runs/{run['id']}/outputs/{quote(number, safe='%')}")
    assert answer.status in (404, 422), answer.body


def test_an_output_that_somebody_replaced_is_not_served(served: Served, tmp_path: Path) -> None:
    _, run = drawn(served, "swapped.raw")
    outputs = served.get(f"runs/{run['id']}")["outputs"]
    path = Path(outputs[0]["path"])
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path.unlink()
    path.symlink_to(secret)
    assert served.ask_api("GET", outputs[0]["href"]).status == 404
    path.unlink()
    os.mkfifo(path)
    assert served.ask_api("GET", outputs[0]["href"]).status == 404
    path.unlink()
    path.write_text("another")  # may get the very inode that the output had
    assert served.ask_api("GET", outputs[0]["href"]).status == 404


def test_a_live_log_is_told_line_by_line_and_ends_with_the_attempt(served: Served, tmp_path: Path) -> None:
    gate = served.files / "gate"
    gate.unlink(missing_ok=True)
    with served.stream("live") as live:
        served.take(id=f"slow-{tmp_path.name}", type="test.slow", data={"gate": str(gate)})
        started = next(m for m in live.messages() if m["kind"] == "run" and m["phase"] == "running")
    with served.stream(f"runs/{started['id']}/logs?follow=true") as stream:
        frames = stream.frames()
        assert next(frames) == {"event": "log", "data": '{"text":"begun\\n"}'}, served.said()
        whole = served.ask_api("GET", f"runs/{started['id']}/logs")
        assert whole.body == b"begun\n"
        gate.write_text("")
        assert next(frames) == {"event": "log", "data": '{"text":"done\\n"}'}
        assert next(frames) == {"event": "end", "data": '{"phase":"succeeded","error":""}'}
    assert served.ask_api("GET", f"runs/{started['id']}/logs?step=slow&attempt=1").body == b"begun\ndone\n"
    with served.stream(f"runs/{started['id']}/logs?follow=true") as stream:
        assert [frame["event"] for frame in stream.frames()] == ["log", "end"]


def test_logs_of_what_was_not_tried_are_not_found(served: Served) -> None:
    _, run = drawn(served, "logs.raw")
    for query in ("step=none", "step=drawn&attempt=7", "step=drawn&item=3"):
        assert served.ask_api("GET", f"runs/{run['id']}/logs?{query}").status == 404, query
    assert served.ask_api("GET", "runs/none/logs").status == 404


def test_a_failed_run_is_a_dead_letter_and_can_be_replayed_edited_or_dropped(served: Served) -> None:
    served.take(id="bad-1", type="test.bad", data={"n": 1})
    run = served.ended_run(event="bad-1")
    assert run["phase"] == "failed"
    letter = served.get(f"dead-letters/{run['id']}")
    assert "this cannot be read" in letter["letter"]["reason"]
    assert letter["event"]["id"] == "bad-1"
    assert run["id"] in [each["id"] for each in served.get("dead-letters?state=open")["dead_letters"]]
    again = served.post(f"dead-letters/{run['id']}/replay", {})
    assert served.get(f"dead-letters/{run['id']}")["letter"]["state"] == "replayed"
    assert served.ended_run(id=again["run"])["phase"] == "failed"
    dropped = served.ask_api("DELETE", f"dead-letters/{again['run']}")
    assert dropped.json() == {"id": again["run"]}
    assert served.get(f"dead-letters/{again['run']}")["letter"]["state"] == "dropped"
    edited = {**letter["event"], "data": {"n": 2}}
    fresh = served.post(f"dead-letters/{run['id']}/replay", {"event": edited})
    assert served.get(f"runs/{fresh['run']}")["cause"] == run["id"]
    moved = {**letter["event"], "subject": "/data/elsewhere.raw", "depth": 3}
    other = served.post(f"dead-letters/{fresh['run']}/replay", {"event": moved}, 200)
    whole = served.get(f"runs/{served.ended_run(id=other['run'])['id']}")
    assert (whole["run"]["path"], whole["cause"], whole["depth"]) == ("/data/elsewhere.raw", fresh["run"], 3)
    assert served.ask_api("POST", f"dead-letters/{run['id']}/replay", {"event": {"id": 1}}).status == 422


def test_dead_letters_are_chosen_by_what_they_are_about(served: Served) -> None:
    for number in range(3):
        served.take(id=f"choice-{number}", type="test.bad", subject=f"/choice/{number}.bad")
        served.ended_run(event=f"choice-{number}")

    def about(query: str) -> list[str]:
        found = served.get(f"dead-letters?{query}")["dead_letters"]
        return [each["subject"] for each in found]

    newest_first = [f"/choice/{number}.bad" for number in (2, 1, 0)]
    assert about("subject=choice/*.bad") == newest_first
    assert about("subject=/choice/1*&kind=step&reason=CANNOT%20be%20read") == ["/choice/1.bad"]
    assert about("subject=choice/*&kind=loop") == about("subject=choice/*&reason=other") == []
    page = served.get("dead-letters?subject=choice/*&limit=2")
    rest = served.get(f"dead-letters?subject=choice/*&before={page['next']}")
    assert [each["subject"] for each in page["dead_letters"] + rest["dead_letters"]] == newest_first
    assert rest["next"] is None
    assert served.ask_api("GET", "dead-letters?subject=a/").status == 422


def test_runs_are_started_rerun_and_cancelled_by_hand(served: Served, tmp_path: Path) -> None:
    gate = served.files / "hand-gate"
    gate.unlink(missing_ok=True)
    event = {
        "specversion": "1.0",
        "id": f"hand-{tmp_path.name}",
        "source": "/hand",
        "type": "hand",
        "data": {"gate": str(gate)},
    }
    run = served.post("runs", {"workflow": "local/slow", "event": event}, 201)["run"]
    assert served.get(f"runs/{run}")["run"]["phase"] == "running"
    assert served.ask_api("POST", f"runs/{run}/rerun", {"whole": True}).status == 409
    assert served.post(f"runs/{run}/cancel", {"reason": "enough"}) == {"run": run}
    assert served.get(f"runs/{run}")["run"]["phase"] == "cancelled"
    assert served.ask_api("POST", f"runs/{run}/cancel", {}).status == 409
    gate.write_text("")
    again = served.post(f"runs/{run}/rerun", {"whole": True}, 201)["run"]
    assert served.ended_run(id=again)["phase"] == "succeeded"
    assert served.ask_api("POST", f"runs/{again}/rerun", {"from_step": "none"}).status == 404
    assert served.ask_api("POST", "runs", {"workflow": "local/none"}).status == 404


def test_explain_says_why_a_file_ran_and_why_another_did_not(served: Served) -> None:
    path, run = drawn(served, "why.raw")
    told = served.get(f"explain?path={path}")
    account = next(each for each in told["triggers"] if each["trigger"] == "local/drawn")
    assert account["outcome"] == "matched"
    assert account["run"]["id"] == run["id"]
    assert len(account["outputs"]) == 2
    other = next(each for each in told["triggers"] if each["trigger"] == "local/bad")
    assert other["sentences"] == ["type is 'penstock.file.created', the filter wants 'test.bad'"]
    assert other["miss"] == "other kind of event"
    (group,) = [each for each in told["misses"] if each["why"] == other["miss"]]
    assert "local/bad" in group["triggers"]
    assert group["count"] == len(group["triggers"])
    assert served.get(f"explain?run={run['id']}")["event"] == told["event"]
    assert served.get(f"explain?event={quote(run['event'])}")["event"] == told["event"]
    output = served.get(f"runs/{run['id']}")["outputs"][0]["path"]
    assert served.get(f"explain?path={output}")["file"]["published_by"] == run["id"]


def test_explain_tells_of_the_newest_content_and_of_all_events_if_asked(served: Served) -> None:
    path, first = drawn(served, "often.raw")
    path.write_text("more points")
    second = served.ended_run(path=str(path), trigger=first["trigger"], id=_other(served, first))
    path.unlink()
    gone = wait_for_event(served, str(path), "penstock.file.deleted")
    told = served.get(f"explain?path={path}")
    assert told["event"]["event"]["type"] == "penstock.file.updated"
    assert told["earlier"][0] == gone["offset"]
    assert told["events"] == []
    events = served.get(f"explain?path={path}&all=true")["events"]
    kinds = [each["type"].removeprefix("penstock.file.") for each in events]
    assert kinds == ["deleted", "updated", "created"]
    ours = [[run["id"] for run in each["runs"] if run["workflow"] == "local/drawn@1"] for each in events]
    assert ours[1:] == [[second["id"]], [first["id"]]]


def _other(served: Served, first: dict[str, str]) -> str:
    """Return the id of the second run on a file, as soon as it has begun."""
    with served.stream("live") as live:
        for _ in chain([None], live.messages()):  # it may have begun already
            for run in served.get(f"runs?path={first['path']}&workflow=local/drawn")["runs"]:
                if run["id"] != first["id"]:
                    return str(run["id"])
    raise AssertionError("the stream ended")


def wait_for_event(served: Served, path: str, kind: str) -> dict[str, object]:
    """Return the event of a kind about a file, once it is on the log."""
    with served.stream("events/stream?since=0") as stream:
        for entry in stream.messages():
            if entry["event"].get("subject") == path and entry["event"]["type"] == kind:
                return dict(entry)
    raise AssertionError("the stream ended")


def test_a_file_whose_name_is_no_utf8_is_found_by_its_path(served: Served) -> None:
    name = b"caf\xe9.raw"
    (served.files / os.fsdecode(name)).write_text("points")
    place = quote(os.fsencode(served.files) + b"/" + name)
    run = served.ended_run(subject=place, workflow="local/drawn@1")
    assert [each["id"] for each in served.get(f"runs?path={place}")["runs"]] == [run["id"]]
    told = served.get(f"explain?path={place}")
    assert f"local/drawn: run {run['id']} succeeded" in told["told"]
    assert (told["file"]["exists"], told["file"]["known"]) == (True, True)
    assert served.get("runs?workflow=local/%ff")["runs"] == []


def test_explain_says_what_a_file_without_an_event_is_missing(served: Served, tmp_path: Path) -> None:
    def why(path: Path) -> str:
        return str(served.get(f"explain?path={quote(str(path))}")["told"][0])

    assert "is in no storage" in why(tmp_path / "x.raw")
    assert "is a folder" in why(served.files)
    assert "is ignored" in why(served.files / ".hidden" / "x.raw")
    assert "does not exist" in why(served.files / "none.raw")
    would = served.get(f"explain?path={served.files / 'none.raw'}")["told"][1]
    assert would == "A new file here would start: local/drawn"
    for query in ("", "path=x", "path=/a&run=b", "event=none", "run=none"):
        assert served.ask_api("GET", f"explain?{query}").status in (404, 422), query


def test_triggers_pause_resume_and_catch_up(served: Served) -> None:
    def patch(body: object) -> dict[str, object]:
        answer = served.ask_api("PATCH", "triggers/local/drawn", body)
        assert answer.status == 200, answer.body
        return dict(answer.json())

    assert patch({"paused": True})["paused"] is True
    path = served.files / "paused.raw"
    path.write_text("later")
    with served.stream("live") as live:
        path.with_name("behind.txt").write_text("x")
        next(m for m in live.messages() if m["kind"] == "event" and m["path"].endswith("behind.txt"))
    assert patch({"paused": False})["paused"] is False
    run = served.ended_run(subject=str(path))
    assert run["phase"] == "succeeded", run["error"]
    told = served.get(f"explain?path={path}")
    account = next(each for each in told["triggers"] if each["trigger"] == "local/drawn")
    assert account["outcome"] == "paused"
    assert account["run"]["id"] == run["id"]
    assert account["sentences"][1].startswith(f"run {run['id']} was requested later")
    assert patch({"workflow": "local/drawn@1"})["workflow"] == "local/drawn@1"
    assert served.ask_api("PATCH", "triggers/none", {"paused": True}).status == 404
    assert served.ask_api("PATCH", "triggers/drawn", {"workflow": "local/drawn@9"}).status == 404
    assert served.ask_api("PATCH", "triggers/drawn", {}).status == 422


def test_a_replay_tells_what_it_would_run(served: Served) -> None:
    path, _ = drawn(served, "replayed.raw")
    found = served.post("replay", {"trigger": "drawn", "dry_run": True})
    assert str(path) in found["events"]
    assert served.ask_api("POST", "replay", {"trigger": "none"}).status == 404


def test_definitions_are_listed_with_their_versions(served: Served) -> None:
    assert "local/drawn" in [each["name"] for each in served.get("functions")]
    assert served.get("functions/local/drawn")[0]["reference"] == "local/drawn@1"
    limits = served.get("functions/drawn@1")[0]["limits"]
    assert list(limits) == ["timeout_s", "memory", "processes", "log", "disk", "network"], "as decorators say"
    assert served.get("workflows/local/drawn")[0]["steps"][0]["function"] == "local/drawn@1"
    assert served.ask_api("GET", "functions/local/none").status == 404
    assert {each["name"] for each in served.get("triggers")} >= {"local/drawn", "local/slow", "local/bad"}


def test_a_rollback_restores_the_filter_that_was_deployed_then(served: Served, tmp_path: Path) -> None:
    def deployed(glob: str, answer: int) -> dict[str, Any]:
        file = tmp_path / "rolled.py"
        text = f"@function(on={glob!r})\ndef rolled(call): return {{'n': {answer}}}\n"
        file.write_text(f"from penstock import function\n{text}")
        return dict(asyncio.run(served.deploy(file)))

    def trigger() -> dict[str, Any]:
        return next(each for each in served.get("triggers") if each["name"] == "local/rolled")

    assert deployed("*.one", 1)["warnings"] == []
    first = trigger()["filter"]
    (warning,) = deployed("/nowhere/*.two", 2)["warnings"]
    assert warning == f"trigger rolled: no storage holds /nowhere/*.two; known: local ({served.files})"
    deployed("*.three", 2)
    assert [each["workflow"] for each in trigger()["former"]] == [f"local/rolled@{n}" for n in (1, 2, 3)]
    assert served.ask_api("PATCH", "triggers/local/rolled", {"workflow": "local/rolled@1"}).status == 200
    back = trigger()
    assert (back["workflow"], back["filter"]) == ("local/rolled@1", first)
    middle = back["former"][1]
    change = {"workflow": middle["workflow"], "filter": middle["filter"]}
    assert served.ask_api("PATCH", "triggers/local/rolled", change).status == 200
    assert trigger()["filter"] == middle["filter"]
    assert len(trigger()["former"]) == 3
    assert served.ask_api("PATCH", "triggers/local/rolled", {"filter": {"x": 1}}).status == 422
    by = {each["name"]: (each["triggers"], each["undeployed"]) for each in served.get("functions")}
    assert by["local/rolled"] == (["local/rolled"], False)
    assert served.ask_api("DELETE", "triggers/local/rolled").status == 200
    by = {each["name"]: (each["triggers"], each["undeployed"]) for each in served.get("functions")}
    assert by["local/rolled"] == ([], True)


def test_a_deployment_is_held_to_the_rules(served: Served) -> None:
    empty = {"file": "/x", "functions": [], "workflows": [], "triggers": [], "files": {}}
    assert served.post("deployments", {"deployment": empty, "dry_run": True})["new"] == []
    trigger = {"id": "t", "tenant": "local", "principal": "p", "name": "local/t", "workflow": "local/drawn"}
    wrong = {**empty, "triggers": [{**trigger, "filter": {"exakt": {}}}]}
    assert served.ask_api("POST", "deployments", {"deployment": wrong}).status == 422
    foreign = {**empty, "triggers": [{**trigger, "tenant": "other", "filter": {}}]}
    assert served.ask_api("POST", "deployments", {"deployment": foreign}).status == 403
    ring = {
        "tenant": "local",
        "name": "local/r",
        "version": 0,
        "steps": [{"name": "a", "function": "x", "after": ["a"]}],
    }
    assert served.ask_api("POST", "deployments", {"deployment": {**empty, "workflows": [ring]}}).status == 422


def test_status_metrics_and_jobs(served: Served) -> None:
    status = served.get("status")
    assert status["engine"]["storages"][0]["name"] == "local"
    assert served.get("health") == {"ok": True}
    assert served.get("jobs") == []
    text = served.ask_api("GET", "/metrics").body.decode()
    assert "penstock_up 1.0" in text
    assert 'penstock_runs{phase="failed"}' in text


def test_a_backup_needs_an_absolute_new_folder(served: Served, tmp_path: Path) -> None:
    found = served.post("backup", {"folder": str(tmp_path / "copy")})
    assert found["records"] > 0
    assert (tmp_path / "copy" / "state.db").exists()
    assert served.ask_api("POST", "backup", {"folder": str(tmp_path / "copy")}).status == 409
    assert served.ask_api("POST", "backup", {"folder": "copy"}).status == 422
    assert served.ask_api("POST", "backup", {"folder": "/proc/none/x"}).status == 500


def test_the_live_stream_tells_of_events_runs_steps_and_dead_letters(served: Served) -> None:
    with served.stream("live") as live:
        messages = live.messages()
        assert next(messages)["engine"] is True
        served.take(id="live-bad", type="test.bad")
        kinds = []
        for message in messages:
            kinds.append((message["kind"], message.get("phase", "")))
            if message["kind"] == "deadletter":
                break
    wanted = [
        ("event", ""),
        ("run", "running"),
        ("step", "failed"),
        ("run", "failed"),
        ("deadletter", "open"),
    ]
    assert [kind for kind in kinds if kind in wanted] == wanted
