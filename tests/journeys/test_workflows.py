"""From a file's birth to its results, through a whole engine with real workers, jobs and files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.rows import AttemptRow, DeadLetter, Decision, Definition, RunRow
from penstock.state.embedded import EmbeddedState
from penstock.state.making import make
from penstock.state.tables import TABLES
from penstock.testing.installation import Installation

HERE = Path(__file__).parent
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

SIMPLE = """
from penstock import Retry, function

@function(on="*.txt")
def measured(call):
    text = call.open("r").read()
    if text == "bad":
        raise ValueError("this is no measurement")
    call.output("size").write_text(str(len(text)))
    return {"size": len(text)}
"""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A running installation."""
    found = Installation(tmp_path)
    found.start()
    yield found
    found.kill()


def rows(installation: Installation, kind: Any) -> list[Any]:
    """Return what is committed of one kind of rows."""
    import sqlite3

    with sqlite3.connect(f"file:{installation.places.state / 'state.db'}?mode=ro", uri=True) as database:
        found = database.execute(f"SELECT * FROM {TABLES[kind].name}").fetchall()
    database.close()
    return [make(kind, row) for row in found]


async def until(holds: Callable[[], Any], installation: Installation) -> Any:
    """Return what ``holds`` returns as soon as it is true."""
    for _ in range(400):
        found = holds()
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"it did not happen; the engine said:\n{installation.said()}")


def ended(installation: Installation, count: int) -> list[RunRow]:
    """Return the ended runs, if there are ``count``."""
    found = [row for row in rows(installation, RunRow) if row.ended_ns]
    return found if len(found) == count else []


async def deploy(installation: Installation, text: str, **options: Any) -> Any:
    """Deploy a file with this text."""
    file = installation.home / "functions.py"
    file.write_text(text)
    return await installation.deploy(file, **options)


async def test_a_map_a_retry_a_batch_step_and_a_join(installation: Installation) -> None:
    await installation.deploy(HERE / "workflow.py")
    (installation.files / "scan.txt").write_text("four")
    (run,) = await until(lambda: ended(installation, 1), installation)
    assert (run.phase, run.error) == ("succeeded", "")
    derived = installation.files / "derived"
    assert (derived / "scan.heavy.txt").read_text() == "heavy 4"
    assert (derived / "scan.sum.txt").read_text() == "8555 heavy 4"
    attempts = rows(installation, AttemptRow)
    assert sorted(row.attempt for row in attempts if row.item == 7) == [1, 2, 3]
    assert [row.phase for row in attempts if row.item == 7 and row.attempt == 3] == ["succeeded"]
    heavy = next(row for row in attempts if row.step == "heavy")
    assert heavy.place == "local"
    log, start, end = heavy.log.rsplit(":", 2)
    assert Path(log).read_bytes()[int(start) : int(end)] == b"heavy here\n"


async def test_a_failed_run_is_a_dead_letter_and_can_be_run_again_after_repair(
    installation: Installation,
) -> None:
    await deploy(installation, SIMPLE)
    file = installation.files / "a.txt"
    file.write_text("bad")
    (run,) = await until(lambda: ended(installation, 1), installation)
    assert run.phase == "failed"
    assert "this is no measurement" in run.error
    (letter,) = await until(lambda: rows(installation, DeadLetter), installation)
    assert (letter.run, letter.state) == (run.id, "open")
    await deploy(installation, SIMPLE.replace('"bad"', '"worse"'))
    await installation.ask("rerun", run=run.id, whole=True)
    again = await until(lambda: ended(installation, 2), installation)
    assert sorted((row.workflow, row.phase) for row in again) == [
        ("local/measured@1", "failed"),
        ("local/measured@2", "succeeded"),
    ]
    assert (installation.files / "derived" / "a.size").read_text() == "3"
    assert await until(lambda: rows(installation, DeadLetter)[0].state == "replayed", installation)


@pytest.mark.slow
async def test_an_unchanged_deployment_makes_no_new_version(installation: Installation) -> None:
    first = await deploy(installation, SIMPLE)
    second = await deploy(installation, SIMPLE)
    assert first["functions"] == second["functions"] == ["local/measured@1"]
    assert second["new"] == []
    assert {(row.kind, row.version) for row in rows(installation, Definition)} == {
        ("function", 1),
        ("workflow", 1),
        ("trigger", 0),  # as it is
        ("trigger", 1),  # as it was with version 1, for a rollback
    }


@pytest.mark.slow
async def test_a_paused_trigger_catches_up_when_it_is_resumed(installation: Installation) -> None:
    await deploy(installation, SIMPLE)
    await installation.ask("trigger", name="measured", paused=True)
    for number in range(3):
        (installation.files / f"p{number}.txt").write_text(str(number))
    paused = await until(
        lambda: len(rows(installation, Decision)) == 3 and rows(installation, Decision), installation
    )
    assert {row.outcome for row in paused} == {"paused"}
    await installation.ask("trigger", name="measured", paused=False)
    await until(lambda: ended(installation, 3), installation)
    (installation.files / "later.txt").write_text("x")
    runs = await until(lambda: ended(installation, 4), installation)
    names = sorted(row.subject.rsplit("/", 1)[-1] for row in runs)
    assert names == [
        "later.txt",
        "p0.txt",
        "p1.txt",
        "p2.txt",
    ]


@pytest.mark.slow
async def test_what_existed_before_is_run_once_when_it_is_asked_for(installation: Installation) -> None:
    await deploy(installation, SIMPLE.replace("*.txt", "*.other"))
    for number in range(5):
        (installation.files / f"e{number}.txt").write_text(str(number))
    found = await deploy(installation, SIMPLE, existing=True)
    assert found["existing"] == 5
    await until(lambda: ended(installation, 5), installation)
    await deploy(installation, SIMPLE, existing=True)
    (installation.files / "fresh.txt").write_text("x")
    runs = await until(lambda: ended(installation, 6), installation)
    assert len({row.event_id for row in runs}) == 6


@pytest.mark.slow
async def test_a_function_does_not_start_on_its_own_outputs(installation: Installation) -> None:
    await deploy(installation, SIMPLE.replace('"size")', '"size.txt")'))
    (installation.files / "a.txt").write_text("x")
    refused = await until(
        lambda: [row for row in rows(installation, Decision) if row.outcome == "refused"], installation
    )
    assert "own" in refused[0].reason
    assert not rows(installation, DeadLetter), "that is as it should be, nobody need look at it"
    assert len(rows(installation, RunRow)) == 1


@pytest.mark.slow
async def test_a_replay_leaves_out_a_workflows_own_outputs(installation: Installation) -> None:
    text = SIMPLE.replace('"size")', '"size.txt")')
    await deploy(installation, text)
    source = installation.files / "a.txt"
    source.write_text("x")
    await until(
        lambda: [row for row in rows(installation, Decision) if row.outcome == "refused"], installation
    )
    found = await installation.ask(
        "replay", trigger="measured", since=0, until=1 << 62, again=True, dry_run=True
    )
    assert found["events"] == [str(source)]
    assert (await deploy(installation, text, existing=True))["existing"] == 1
    (installation.files / "derived" / "a.size.txt").write_text("a person's own now")
    await until(lambda: ended(installation, 2), installation)
    assert (await deploy(installation, text, existing=True))["existing"] == 2


@pytest.mark.slow
async def test_two_inputs_may_not_publish_under_one_name(installation: Installation) -> None:
    await deploy(installation, SIMPLE.replace('"*.txt"', '"*.txt", outputs="{root}/all/{name}"'))
    (installation.files / "a.txt").write_text("a")
    await until(lambda: ended(installation, 1), installation)
    (installation.files / "b.txt").write_text("bb")
    runs = await until(lambda: ended(installation, 2), installation)
    refused = next(row for row in runs if row.phase == "failed")
    assert "a.txt" in refused.error
    assert "b.txt" in refused.error
    assert (installation.files / "all" / "size").read_text() == "1"


@pytest.mark.slow
async def test_a_cancelled_run_stops_its_function(installation: Installation) -> None:
    text = SIMPLE.replace(
        "text = call", 'import time; print("begun", flush=True); time.sleep(60)\n    text = call'
    )
    await deploy(installation, text)
    (installation.files / "a.txt").write_text("a")
    attempt = await until(lambda: rows(installation, AttemptRow), installation)
    await installation.ask("cancel", run=attempt[0].run, reason="enough")
    (run,) = await until(lambda: ended(installation, 1), installation)
    assert (run.phase, run.error) == ("cancelled", "cancelled: enough")
    status = await installation.ask("status")
    assert status["runs"] == {"active": 0, "waiting": 0}


@pytest.mark.slow
async def test_a_manual_start_brings_its_parameters(installation: Installation) -> None:
    await deploy(
        installation,
        "from penstock import function\n@function\ndef hello(call):\n    return call['params']\n",
    )
    await installation.ask("start", workflow="local/hello", params={"name": "Ada"})
    (run,) = await until(lambda: ended(installation, 1), installation)
    assert json.loads(run.snapshot)["steps"]["hello"]["result"] == {"name": "Ada"}


@pytest.mark.slow
async def test_a_backup_is_a_whole_installation(installation: Installation, tmp_path: Path) -> None:
    await deploy(installation, SIMPLE)
    (installation.files / "a.txt").write_text("x")
    await until(lambda: ended(installation, 1), installation)
    target = tmp_path / "copy"
    await installation.ask("backup", folder=str(target))
    state = EmbeddedState(target / "state.db")
    try:
        assert [row.phase for row in state.select(RunRow)] == ["succeeded"]
    finally:
        state.close()
    assert list((target / "log" / "0").glob("*.segment"))


@pytest.mark.slow
async def test_newer_content_ends_the_run_on_what_it_replaces(installation: Installation) -> None:
    text = SIMPLE.replace(
        'text = call.open("r").read()',
        'import time\n    text = call.open("r").read()\n    time.sleep(60 * (text != "last"))',
    )
    await deploy(installation, text)
    file = installation.files / "a.txt"
    for number, content in enumerate(("one", "two", "three"), start=1):
        file.write_text(content)
        await until(lambda: len(rows(installation, RunRow)) == number, installation)  # noqa: B023 - awaited here
    file.write_text("last")
    runs = await until(lambda: ended(installation, 4), installation)
    assert sorted(row.phase for row in runs) == ["cancelled", "cancelled", "cancelled", "succeeded"]
    assert {row.error for row in runs} == {
        "",
        "cancelled: the file was written anew; the newer content has its own run",
    }
    assert (installation.files / "derived" / "a.size").read_text() == "4"
