"""A newcomer's first hour: from an empty folder to versions, failures, reruns and the way back."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import Any

import pytest

from penstock.client import Client
from penstock.core.errors import FunctionFailed
from tests.journeys.console import Console

pytestmark = pytest.mark.slow
FAULTY = """
from penstock import function

@function(on="*.txt")
def summarise(call):
    text = call.open("r").read()
    print("looking at", call.input.name, flush=True)
    if "beam" not in text:
        raise ValueError("no beam in the file")
    call.output("beam.json").write_text("true")
    return {"beam": True}
"""


def ended(console: Console, run: str = "last") -> Any:
    """Return a run once it has ended; ``logs --follow`` waits for that."""
    console("logs", run, "--follow")
    (whole,) = console.json("runs", "show", run)
    assert whole["run"]["ended"]
    return whole


def started(console: Console, name: str, text: str) -> str:
    """Write a file into the storage and return the id of the run that it starts."""
    tail = console.begin("events", "tail", "--type", "run.started", "--json")
    assert tail.stderr is not None
    assert tail.stdout is not None
    assert "waiting" in tail.stderr.readline()
    (console.folder / "data" / name).write_text(text)
    entry: Any = {"event": {"data": {"subject": ""}}}
    while not entry["event"]["data"]["subject"].endswith(f"/{name}"):
        entry = json.loads(tail.stdout.readline())
    tail.send_signal(signal.SIGINT)
    _, said = tail.communicate(timeout=30)
    assert tail.returncode == 130
    assert "Penstock goes on" in said
    return str(entry["event"]["data"]["run"])


def arrived(console: Console, name: str, text: str) -> Any:
    """Write a file into the storage and return its run, ended."""
    return ended(console, started(console, name, text))


def test_from_an_empty_folder_to_a_published_result(console: Console) -> None:
    folder = console.folder
    assert "penstock deploy function.py" in console.errors("init")
    tried = console("test", "function.py", "--file", "sample.txt")
    assert '"words": 5' in tried
    assert "would be published as" in tried
    assert "start it" in console.errors("status", code=4)
    assert "in the background" in console("serve", "--detach")
    assert "running" in console("status")
    assert "summarise@1  deployed" in console("deploy", "function.py")
    whole = arrived(console, "first.txt", "a b c")
    assert whole["run"]["phase"] == "succeeded"
    assert (folder / "data" / "derived" / "first.json").read_text() == '{"lines": 1, "words": 3}'
    assert "read first.txt" in console("logs")
    explained = console("explain", "data/first.txt")
    assert "succeeded" in explained
    assert "derived/first.json" in explained
    shown = console("runs", "show", whole["run"]["id"][:8])
    assert '"words": 3' in shown
    assert "unchanged" in console("deploy", "function.py")
    assert "has stopped" in console("stop")
    assert "not running" in console.errors("runs", code=4)


def test_a_failure_is_repaired_rerun_rolled_back_and_undeployed(console: Console) -> None:
    folder = console.folder
    console("init")
    console("serve", "--detach")
    console("deploy", "function.py")
    (folder / "function.py").write_text(FAULTY)
    assert "summarise@2  would be deployed" in console("deploy", "function.py", "--dry-run")
    assert "summarise@2  deployed" in console("deploy", "function.py")

    failed = arrived(console, "scan.txt", "dark")
    assert failed["run"]["phase"] == "failed"
    assert "no beam in the file" in console("runs", "--state", "failed")
    assert "looking at scan.txt" in console("logs")
    (letter,) = console.json("dead-letters")
    assert "no beam" in letter["reason"]
    assert "no beam in the file" in console("dead-letters", "show", letter["id"][:6])

    (folder / "function.py").write_text(FAULTY.replace('"beam" not in', '"sun" in'))
    console("deploy", "function.py")
    (again,) = console.json("runs", "rerun", "last", "--whole", "--wait")
    assert again["run"]["phase"] == "succeeded"
    assert again["run"]["workflow"] == "local/summarise@3"
    assert (folder / "data" / "derived" / "scan.beam.json").read_text() == "true"
    assert console.json("dead-letters") == []

    assert "set to start summarise@1" in console("triggers", "rollback", "summarise", "--to", "1")
    assert arrived(console, "old.txt", "a b")["steps"][0]["result"]["words"] == 2
    assert "is paused" in console("triggers", "pause", "summ")
    assert "paused" in console("triggers")
    assert "is resumed" in console("triggers", "resume", "summarise", "--skip")

    assert "would be removed" in console("undeploy", "summarise", "--dry-run")
    assert "removed" in console("undeploy", "summarise")
    assert console.json("triggers") == []
    assert "no trigger" in console.errors("undeploy", "summarise", code=3)


def test_a_backup_is_taken_while_running_and_restored_when_stopped(console: Console) -> None:
    console("init")
    console("serve", "--detach")
    console("deploy", "function.py")
    arrived(console, "one.txt", "a")
    assert "events" in console("backup", "../copy")
    kept = len(console.json("events"))
    arrived(console, "two.txt", "a")
    assert "stop it first" in console.errors("restore", "../copy", code=3)
    console("stop")
    assert "would take" in console("restore", "../copy", "--dry-run")
    assert "restored" in console("restore", "../copy")
    shutil.rmtree(console.folder / "data")
    (console.folder / "data").mkdir()
    console("serve", "--detach")
    assert [run["path"].rsplit("/", 1)[1] for run in console.json("runs")] == ["one.txt"]
    assert len(console.json("events", "--type", "file.created")) <= kept


def test_events_are_sent_filtered_and_shown(console: Console) -> None:
    console("init")
    console("serve", "--detach")
    assert "taken in" in console(
        "events", "send", "--type", "org.example.beam", "--id", "b1", "--data", '{"on": 1}'
    )
    assert "known already" in console("events", "send", "--type", "org.example.beam", "--id", "b1")
    (entry,) = console.json("events", "--filter", "type = 'org.example.beam'")
    assert entry["event"]["data"] == {"on": 1}
    assert '"on": 1' in console("events", "show", str(entry["offset"]))
    assert console.json("events", "--type", "file.created") == []


def test_a_run_by_hand_gets_its_file_and_parameters(console: Console) -> None:
    folder = console.folder
    console("init")
    (folder / "ask.py").write_text(
        "from penstock import function\n\n"
        "@function\ndef ask(call):\n    return {'size': call.input.stat().st_size, 'given': call['params']}\n"
    )
    console("serve", "--detach")
    assert "runs start ask" in console.errors("deploy", "ask.py")
    (folder / "data" / "x.dat").write_bytes(bytes(7))
    (whole,) = console.json("runs", "start", "ask", "--file", "data/x.dat", "--params", '{"a": 1}', "--wait")
    assert whole["steps"][0]["result"] == {"size": 7, "given": {"a": 1}}
    assert "in no storage" in console.errors("runs", "start", "ask", "--file", "ask.py", code=3)


SLOW = """
import time
from penstock import function

@function(on="*.dat")
def slow(call):
    print("begun", flush=True)
    while not call.input.with_suffix(".go").exists():
        time.sleep(0.02)
    print("went on")
"""


def test_logs_are_live_and_ctrl_c_leaves_the_run_alone(console: Console) -> None:
    data = console.folder / "data"
    console("init")
    (console.folder / "slow.py").write_text(SLOW)
    console("serve", "--detach")
    console("deploy", "slow.py")
    run = started(console, "one.dat", "x")
    for ending in ("interrupted", "ended"):
        logs = console.begin("logs", run, "--follow")
        assert logs.stdout is not None
        assert logs.stdout.readline() == "begun\n"
        if ending == "interrupted":
            logs.send_signal(signal.SIGINT)
        else:
            (data / "one.go").touch()
        out, err = logs.communicate(timeout=30)
        assert ("the run goes on" in err) == (ending == "interrupted")
        assert ("went on" in out) == (ending == "ended")
    assert console.json("runs", "show", run)[0]["run"]["phase"] == "succeeded"
    second = started(console, "two.dat", "x")
    assert "is being cancelled" in console("runs", "cancel", second[:8], "--reason", "beam time is over")
    assert "beam time is over" in ended(console, second)["run"]["error"]


def test_a_notebook_deploys_calls_and_reads(console: Console) -> None:
    console("init")
    (console.folder / "half.py").write_text(
        "from penstock import function\n\n"
        "@function\ndef half(call):\n    return {'half': 10 / call['params']['of']}\n"
    )
    console("serve", "--detach")
    client = Client(console.environment["PENSTOCK_HOME"])
    assert client.is_running()
    assert client.deploy(console.folder / "half.py")["new"] == ["local/half@1", "local/half@1"]
    assert client.call("half", {"of": 4}) == {"half": 2.5}
    with pytest.raises(FunctionFailed, match="ZeroDivisionError"):
        client.call("half", {"of": 0})
    assert [run["phase"] for run in client.runs(5)] == ["failed", "succeeded"]
    assert os.stat(console.environment["PENSTOCK_HOME"] + "/run/api.sock").st_mode & 0o077 == 0
