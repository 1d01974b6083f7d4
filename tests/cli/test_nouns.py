"""Commands against an API that answers from a table: what they ask, and how the answer reads."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.conftest import Command
from tests.client.fake_api import FakeApi

ENDED = "2026-11-21T09:00:01.250000Z"
RUN = {
    "id": "0123456789abcdef01234567",
    "workflow": "local/scan@2",
    "trigger": "t1",
    "event": "e1",
    "subject": "/data/a%20very/long/path/of/a/file/frame_0001.h5",
    "path": "/data/a very/long/path/of/a/file/frame_0001.h5",
    "phase": "failed",
    "started": "2026-11-21T09:00:00Z",
    "ended": ENDED,
    "error": "step 'fit' failed: ValueError: no peak\nwith more below",
}
ATTEMPT = {"started": "2026-11-21T09:00:00Z", "ended": ENDED}


def step(name: str, phase: str, after: list[str], **more: Any) -> dict[str, Any]:
    known = {
        "name": name,
        "phase": phase,
        "after": after,
        "attempt": 1,
        "error": "",
        "batch": "",
        "result": None,
        "items": None,
        "attempts": [ATTEMPT],
    }
    return {**known, **more}


WHOLE = {
    "run": RUN,
    "generation": 0,
    "principal": "ada",
    "trigger_name": "local/scan",
    "event": {"offset": 17, "event": {}},
    "steps": [
        step("read", "succeeded", [], result={"n": 3}),
        step("fit", "failed", ["read"], error="ValueError: no peak", attempt=3, batch="local"),
        step(
            "each",
            "succeeded",
            ["read"],
            items={"succeeded": 29, "total": 30, "errors": {"7": "ValueError: odd"}},
        ),
        step("report", "skipped", ["fit", "each"], attempts=[], error="skipped because step 'fit' failed"),
    ],
    "outputs": [{"path": "/data/derived/x.png"}],
    "children": [],
}
TRIGGER = {
    "id": "t1",
    "name": "local/scan",
    "workflow": "local/scan@2",
    "paused": False,
    "deployed": ENDED,
    "filter": {"all": [{"any": []}, {"glob": {"path": "*.h5"}}]},
    "former": [],
}


def test_runs_are_a_table_for_people_and_lines_for_programs(penstock: Command, api: FakeApi) -> None:
    api.set("GET /runs", {"runs": [RUN], "next": None})
    said = penstock("runs")
    assert said.code == 0
    head, row = said.out.splitlines()
    assert head.split() == ["STATE", "RUN", "WORKFLOW", "STARTED", "TOOK", "FILE", "ERROR"]
    assert row.startswith("✗ failed  0123456789  scan@2")
    assert "1.2 s" in row
    assert row.endswith("ValueError: no peak"), "the first line, not cut, without blanks behind it"
    assert penstock("runs", "--json").objects() == [RUN]


def test_nothing_found_is_said_beside_the_data(penstock: Command, api: FakeApi) -> None:
    api.set("GET /runs", {"runs": [], "next": None})
    said = penstock("runs", "list", "--state", "failed")
    assert (said.code, said.out) == (0, "")
    assert "no such runs" in said.err


def test_a_run_is_drawn_with_what_came_after_what(penstock: Command, api: FakeApi) -> None:
    api.set("GET /runs", {"runs": [RUN], "next": None})
    api.set(f"GET /runs/{RUN['id']}", WHOLE)
    out = penstock("runs", "show", "0123").out
    assert "trigger scan, event 17" in out
    assert "✗ failed  fit  1.2 s  try 3  on batch system local" in out
    assert "29 of 30 items" in out
    assert "item 7: ValueError: odd" in out
    assert "↷ skipped  report  after fit, each" in out
    assert '= {"n": 3}' in out
    assert "output  /data/derived/x.png" in out


def test_a_terminal_that_is_narrow_gets_no_longer_lines(tmp_path: Path, api: FakeApi) -> None:
    api.set("GET /runs", {"runs": [RUN], "next": None})
    master, slave = pty.openpty()
    environment = {
        **os.environ,
        "PENSTOCK_HOME": str(tmp_path / "h"),
        "COLUMNS": "70",
        "NO_COLOR": "1",
        "TERM": "xterm",
    }
    command = [sys.executable, "-m", "penstock", "runs"]
    subprocess.run(command, stdout=slave, stderr=subprocess.DEVNULL, env=environment, check=True)
    os.close(slave)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert "\x1b[3" not in said, "no colours"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert max(map(len, plain.splitlines())) <= 70
    assert "✗ failed" in said


def test_functions_say_what_starts_them_and_whether_they_are_undeployed(
    penstock: Command, api: FakeApi
) -> None:
    each = {"version": 1, "deployed": ENDED, "summary": "", "triggers": [], "undeployed": False}
    functions = [
        {**each, "name": "local/gone", "undeployed": True},
        {**each, "name": "local/part"},
        {**each, "name": "local/scan", "triggers": ["local/scan", "local/night"]},
        {**each, "name": "local/tool"},
    ]
    api.set("GET /functions", functions)
    api.set("GET /workflows", [each for each in functions if each["name"] != "local/part"])
    rows = penstock("functions").out.splitlines()[1:]
    starts = ["■ undeployed", "a workflow, as a step", "scan, night", "hand only"]
    assert [row.endswith(words) for row, words in zip(rows, starts, strict=True)] == [True] * 4


def test_filters_of_events_are_put_together(penstock: Command, api: FakeApi, tmp_path: Path) -> None:
    api.set("GET /events", {"events": [], "next": None})
    penstock("events", "--type", "file.created", "--file", "a b.h5", "--filter", "subject LIKE '%x'")
    query = api.asked[-1][0]
    (wanted,) = parse_qs(urlsplit(query).query)["filter"]
    assert json.loads(wanted) == {
        "all": [
            {"prefix": {"type": "penstock.file.created"}},
            {"exact": {"subject": f"{tmp_path}/a%20b.h5"}},
            {"sql": "subject LIKE '%x'"},
        ]
    }


def test_a_trigger_is_paused_by_the_beginning_of_its_name(penstock: Command, api: FakeApi) -> None:
    api.set("GET /triggers", [TRIGGER])
    api.set("PATCH /triggers/local%2Fscan", {**TRIGGER, "paused": True})
    assert "would be paused" in penstock("triggers", "pause", "sc", "--dry-run").out
    assert not [what for what, _ in api.asked if what.startswith("PATCH")]
    assert "trigger scan is paused" in penstock("triggers", "pause", "sc").out
    assert "*.h5" in penstock("triggers").out


def test_rolling_back_takes_the_version_before(penstock: Command, api: FakeApi) -> None:
    api.set("GET /triggers", [TRIGGER])
    api.set("GET /workflows/local%2Fscan", [{"version": 1}, {"version": 2}])
    api.set("PATCH /triggers/local%2Fscan", TRIGGER)
    assert "scan@1" in penstock("triggers", "rollback", "scan").out
    assert api.asked[-1][1]["workflow"] == "local/scan@1"
    assert penstock("triggers", "rollback", "scan", "--to", "9").code == 3


def test_rolling_back_restores_what_it_was_started_on_and_says_so(penstock: Command, api: FakeApi) -> None:
    old = {"any": [{"exact": {"type": "t"}}]}
    former = [
        {"number": 1, "workflow": "local/scan@1", "filter": old, "deployed": None},
        {"number": 2, "workflow": TRIGGER["workflow"], "filter": old, "deployed": None},
        {"number": 3, "workflow": TRIGGER["workflow"], "filter": TRIGGER["filter"], "deployed": None},
    ]
    api.set("GET /triggers", [{**TRIGGER, "former": former}])
    api.set("PATCH /triggers/local%2Fscan", TRIGGER)
    said = penstock("triggers", "rollback", "scan", "--dry-run").out
    assert said.startswith("trigger scan would be set to start scan@2 on {")
    assert "(before: *.h5)" in said
    assert "scan@1 (before: scan@2)" in penstock("triggers", "rollback", "scan", "--to", "1").out
    assert api.asked[-1][1] == {"catch_up": True, "workflow": "local/scan@1", "filter": old}


def test_status_tells_of_troubles_and_how_to_open_the_page(penstock: Command, api: FakeApi) -> None:
    engine = {
        "runs": {"active": 1, "waiting": 2},
        "in_flight": 3,
        "triggers": 4,
        "paused": 3,
        "storages": [{"name": "data", "folder": "/data"}],
        "troubles": {"data": "folder '/data' is not there"},
    }
    status = {
        "version": "1",
        "page": "http://127.0.0.1:1/",
        "log_end": 9,
        "engine": engine,
        "runs": {"failed": 2},
        "dead_letters": {"open": 2, "dropped": 1},
    }
    api.set("GET /status", status)
    out = penstock("status").out
    assert "✗ data: folder '/data' is not there" in out
    assert "2 wait for room" in out
    assert "4, of which ‖ paused: 3" in out
    assert "2 open" in out
    assert "dropped" not in out
    assert penstock("status", "--json").objects() == [{"running": True, **status}]


def test_status_without_a_server_says_how_to_start_it(penstock: Command) -> None:
    said = penstock("status")
    assert said.code == 4
    assert "penstock serve --detach" in said.err
    assert penstock("status", "--json").objects()[0]["running"] is False


def test_a_dead_letter_is_replayed_with_an_edited_event(
    penstock: Command, api: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    letter = {
        "id": "a" * 24,
        "state": "open",
        "kind": "step",
        "subject": "/d",
        "reason": "r",
        "run": "",
        "at": None,
    }
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"k": "wrong"}}
    api.set(f"GET /dead-letters/{'a' * 24}", {"letter": letter, "event": event, "text": ""})
    api.set("GET /dead-letters", {"dead_letters": [letter], "next": None})
    api.set(f"POST /dead-letters/{'a' * 24}/replay", {"run": "b" * 24, "events": []})
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/wrong/right/ "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(editor))
    monkeypatch.setenv("EDITOR", str(editor))
    said = penstock("dead-letters", "replay", "aaa", "--edit")
    assert "run bbbbbbbbbb begins" in said.out
    assert api.asked[-1][1]["event"]["data"] == {"k": "right"}
    editor.write_text("#!/bin/sh\n")
    said = penstock("dead-letters", "replay", "aaa", "--edit")
    assert said.code == 3
    assert "nothing was changed, so nothing was replayed" in said.err


LETTERS = [
    {
        "id": c * 24,
        "state": "open",
        "kind": "step",
        "subject": f"/d/{c}",
        "reason": "r",
        "run": "",
        "at": None,
    }
    for c in "abc"
]


def test_dead_letters_are_replayed_in_bulk_and_one_that_cannot_be_stops_no_other(
    penstock: Command, api: FakeApi
) -> None:
    api.set("GET /dead-letters", {"dead_letters": LETTERS, "next": None})
    for letter in LETTERS:
        api.set(f"POST /dead-letters/{letter['id']}/replay", {"run": "f" * 24, "events": []})
    problem = {"type": "urn:penstock:problem:conflict", "status": 409, "detail": "it has not ended"}
    api.set(f"POST /dead-letters/{'b' * 24}/replay", (409, problem))
    said = penstock("dead-letters", "replay", "--subject", "d/*", "--dry-run")
    assert "3 dead letters would be replayed" in said.out
    assert api.asked[-1][0] == "GET /dead-letters?state=open&subject=d%2F%2A&limit=1000"
    said = penstock("dead-letters", "replay", "--all")
    assert said.code == 1
    assert "2 dead letters are replayed, 1 could not be" in said.out
    assert "dead letter bbbbbbbbbb stays open: it has not ended" in said.err


def test_dead_letters_are_dropped_by_reason_but_never_without_a_choice(
    penstock: Command, api: FakeApi
) -> None:
    api.set("GET /dead-letters", {"dead_letters": LETTERS[:1], "next": None})
    api.set(f"DELETE /dead-letters/{'a' * 24}", {"id": "a" * 24})
    assert "is dropped  /d/a" in penstock("dead-letters", "drop", "--reason", "r", "--kind", "step").out
    assert api.asked[-1][0] == f"DELETE /dead-letters/{'a' * 24}"
    for words in ((), ("aaa", "--all")):
        said = penstock("dead-letters", "drop", *words)
        assert (said.code, "name dead letters, or choose them" in said.err) == (3, True)


def test_lists_that_are_cut_say_so(penstock: Command, api: FakeApi) -> None:
    api.set("GET /dead-letters", {"dead_letters": LETTERS, "next": None})
    said = penstock("dead-letters", "--limit", "2")
    assert len(said.out.splitlines()) == 1 + 2
    assert "there are more: --limit 20" in said.err
    assert penstock("dead-letters", "--limit", "3").err == ""


def test_logs_are_given_as_they_are_to_a_pipe(penstock: Command, api: FakeApi) -> None:
    api.set("GET /runs", {"runs": [RUN], "next": None})
    api.set(f"GET /runs/{RUN['id']}/logs", b"\x1b[1mbold\x1b[0m\n")
    assert penstock("logs").out == "\x1b[1mbold\x1b[0m\n"


def test_explain_reads_like_an_answer(penstock: Command, api: FakeApi) -> None:
    account = {
        "trigger": "local/scan",
        "workflow": "local/scan@2",
        "wanted": False,
        "outcome": "",
        "sentences": ["path is 'a.txt', the filter wants it to match '*.h5'"],
        "tree": ["✗ path"],
        "run": None,
        "attempts": [],
        "outputs": [],
        "miss": "other file name",
    }
    far = [{**account, "trigger": f"local/far{n}", "miss": "other folder"} for n in range(6)]
    misses = [
        {"why": "other file name", "count": 1, "triggers": ["local/scan"]},
        {"why": "other folder", "count": 41, "triggers": [each["trigger"] for each in far]},
    ]
    found = {
        "told": ["Nothing wanted it"],
        "event": {"offset": 7},
        "earlier": [9, 3, 1],
        "triggers": [account, *far],
        "triggers_more": 35,
        "misses": misses,
        "events": [],
    }
    api.set("GET /explain", found)
    said = penstock("explain", "a.txt")
    assert said.out.splitlines()[0] == "Nothing wanted it"
    assert "scan  ✗ not wanted" in said.out
    assert "39 more triggers do not match:" in said.out
    assert "39  other folder  (far2, far3, far4 …)" in said.out
    assert "1 newer, 2 earlier events about it: penstock explain a.txt --all" in said.err


def test_explain_all_tells_of_every_event_with_its_runs(penstock: Command, api: FakeApi) -> None:
    decided = {"trigger": "t", "outcome": "duplicate", "run": "", "reason": "seen before"}
    events = [
        {
            **decided,
            "offset": 9,
            "appended": "",
            "type": "penstock.file.deleted",
            "decisions": [],
            "runs": [],
        },
        {
            "offset": 7,
            "appended": "2026-11-21T10:00:00Z",
            "type": "penstock.file.created",
            "decisions": [{"trigger": "t", "outcome": "matched", "run": RUN["id"], "reason": ""}, decided],
            "runs": [RUN],
        },
    ]
    found = {"told": ["Told"], "event": {"offset": 7}, "earlier": [9], "triggers": [], "misses": []}
    api.set("GET /explain", {**found, "events": events})
    said = penstock("explain", "a.txt", "--all")
    assert api.asked[-1][0].endswith("&all=true")
    assert "2 events about it" in said.out
    assert (
        said.out.index("9    file.deleted")
        < said.out.index("file.created")
        < said.out.index("= duplicate  seen")
    )
    assert f"run {RUN['id'][:10]}" in said.out


def test_an_event_made_of_options_is_a_cloudevent(penstock: Command, api: FakeApi) -> None:
    words = ("events", "send", "--type", "a.b", "--subject", "s", "--data", '{"x": 1}')
    (event,) = penstock(*words, "--dry-run").objects()
    assert event["specversion"] == "1.0"
    assert event["data"] == {"x": 1}
    assert not api.asked
    assert "either a FILE" in penstock("events", "send").err


@pytest.mark.parametrize(
    ("text", "count"), [('{"id": 1}', 1), ('[{"id": 1}, {"id": 2}]', 2), ('{"a":1}\n{"a":2}\n', 2)]
)
def test_files_of_events_may_be_one_a_list_or_lines(
    penstock: Command, api: FakeApi, tmp_path: Path, text: str, count: int
) -> None:
    (tmp_path / "e.json").write_text(text)
    api.set("POST /events", [])
    assert penstock("events", "send", "e.json").code == 0
    assert len(api.asked[-1][1]) == count
