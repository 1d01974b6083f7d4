"""Runs through a whole engine: their shapes, their ends, and what people do to them meanwhile."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.core.errors import Conflict, NotFound
from penstock.core.rows import AttemptRow, DeadLetter, Decision, RunRow, TimerRow
from penstock.testing.installation import Installation
from tests.journeys.seeing import begun, deploy, result, rows, runs, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]

HEAD = """
import time
from penstock import Retry, batch, function, workflow

def stamp(call):
    return {"began": time.time_ns(), "item": call.get("item"), "attempt": call["run"]["attempt"]}
"""
SHAPES = (
    HEAD
    + """
@function
def first(call):
    call.output("first").write_text("1")
    return {**stamp(call), "n": call.data["size"], "list": [0, 1, 2]}

@function
def link(call):
    return {**stamp(call), "n": 1 + max(each["n"] for each in call.results.values())}

@function
def child(call):
    began = stamp(call)
    time.sleep(0.1)
    return {**began, "ended": time.time_ns()}

@function
def broken(call):
    raise ValueError("this branch is broken")

@function
def gather(call):
    return {"seen": sorted(call.results), "inputs": [path.name for path in call.inputs]}

chain = workflow("chain", on="*.chain")
last = chain.step(first)
for number in range(4):
    last = chain.step(link, name=f"link{number}", after=last)

fork = workflow("fork", on="*.fork")
root = fork.step(first)
children = [fork.step(child, name=f"child{number}", after=root) for number in range(20)]
fork.step(gather, after=children)

joins = workflow("joins", on="*.joins")
root = joins.step(first)
bad = joins.step(broken, after=root)
good = joins.step(link, after=root)
joins.step(gather, name="all", after=[bad, good])
joins.step(gather, name="ended", after=[bad, good], join="ended")

choice = workflow("choice", on="*.choice")
root = choice.step(first)
small = choice.step(link, name="small", after=root, when="first_n < 5")
large = choice.step(link, name="large", after=root, when="first_n >= 5")
choice.step(gather, after=[small, large])
"""
)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A running installation."""
    found = Installation(tmp_path)
    found.start()
    yield found
    found.kill()


async def test_chain_fork_join_and_choice_in_one_installation(installation: Installation) -> None:
    await deploy(installation, SHAPES)
    for name in ("a.chain", "b.fork", "c.joins", "d.choice", "efg.choice"):
        (installation.files / name).write_text("x" * (7 if name.startswith("e") else 3))
    found = {row.subject.rpartition("/")[2]: row for row in await runs(installation, 5)}
    assert {name: row.phase for name, row in found.items() if row.phase != "succeeded"} == {
        "c.joins": "failed"
    }
    assert [result(found["a.chain"], f"link{n}")["n"] for n in range(4)] == [4, 5, 6, 7]
    spans = [result(found["b.fork"], f"child{n}") for n in range(20)]
    assert overlapping([(span["began"], span["ended"]) for span in spans]) >= 2
    assert len(result(found["b.fork"], "gather")["seen"]) == 20
    assert result(found["c.joins"], "all") is None
    assert result(found["c.joins"], "ended")["seen"] == ["link"]
    assert "this branch is broken" in found["c.joins"].error
    assert result(found["d.choice"], "gather")["seen"] == ["small"]
    assert result(found["efg.choice"], "gather")["seen"] == ["large"]


def overlapping(spans: list[tuple[int, int]]) -> int:
    """Return how many spans there are at once at most."""
    ends = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    return max(itertools.accumulate(step for _, step in ends))


MAPS = (
    HEAD
    + """
@function
def listing(call):
    return {"items": list(range(40))}

@function(retry=Retry(attempts=2, delay_s=0.01))
def square(call):
    if call.item in (3, 11):
        raise ValueError(f"no peak in {call.item}")
    return {"v": call.item ** 2}

for name, tolerate in (("strict", 0), ("lenient", 2)):
    each = workflow(name, on=f"*.{name}")
    items = each.step(listing)
    each.step(square, after=items, each="listing.items", window=8, tolerate=tolerate)
"""
)


@pytest.mark.slow
async def test_failed_items_of_a_map_are_named_and_some_may_be_tolerated(installation: Installation) -> None:
    await deploy(installation, MAPS)
    for name in ("strict", "lenient"):
        (installation.files / f"a.{name}").write_text("x")
    found = {row.workflow: row for row in await runs(installation, 2)}
    lenient, strict = found["local/lenient@1"], found["local/strict@1"]
    assert lenient.phase == "succeeded"
    wanted = [None if item in (3, 11) else {"v": item**2} for item in range(40)]
    assert result(lenient, "square") == wanted
    assert strict.phase == "failed"
    assert "3 (ValueError: no peak in 3" in strict.error
    tried = [row.attempt for row in rows(installation, AttemptRow) if row.run == lenient.id and row.item == 3]
    assert sorted(tried) == [1, 2]


RETRIED = (
    HEAD
    + """
@function(retry=Retry(attempts=3, delay_s=3.0, factor=1.0, jitter=0.0))
def flaky(call):
    if call["run"]["attempt"] == 1:
        raise OSError("not yet")
    return stamp(call)

workflow("retried", on="*.txt").step(flaky)
"""
)


@pytest.mark.slow
async def test_a_wait_before_a_retry_keeps_its_deadline_when_the_engine_is_killed(
    installation: Installation,
) -> None:
    await deploy(installation, RETRIED)
    (installation.files / "a.txt").write_text("x")
    (timer,) = await until(lambda: rows(installation, TimerRow), installation)
    for _ in range(2):
        installation.kill()
        installation.start()
        await installation.ask("status")
    (run,) = await runs(installation, 1)
    assert result(run, "flaky")["attempt"] == 2
    assert result(run, "flaky")["began"] >= timer.due_ns
    (after,) = rows(installation, TimerRow)
    assert after.due_ns == timer.due_ns
    assert sorted(row.attempt for row in rows(installation, AttemptRow)) == [1, 2]


WAITING = (
    HEAD
    + """
@function(timeout_s=0.5)
def slow(call):
    time.sleep(30)

@function(timeout_s=60, concurrency=2)
def long(call):
    print("begun", flush=True)
    time.sleep(60)

@function(retry=Retry(attempts=2, delay_s=60))
def failing(call):
    raise OSError("not yet")

@function
def listing(call):
    return {"items": list(range(50))}

workflow("slow", on="*.slow").step(slow)
workflow("pool", on="*.pool").step(long, name="work")
workflow("job", on="*.job").step(long, name="work", batch=batch())
workflow("retry", on="*.retry").step(failing, name="work")
each = workflow("map", on="*.map")
each.step(long, name="work", after=each.step(listing), each="listing.items", window=8)
"""
)


@pytest.mark.slow
async def test_a_call_that_takes_too_long_is_ended_in_words(installation: Installation) -> None:
    await deploy(installation, WAITING)
    (installation.files / "a.slow").write_text("x")
    (run,) = await runs(installation, 1)
    assert run.phase == "failed"
    assert "longer than its limit timeout_s of 0.5 s" in run.error
    (letter,) = rows(installation, DeadLetter)
    assert letter.reason == run.error


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pool", "job", "retry", "map"])
async def test_a_run_is_cancelled_whatever_it_is_at(installation: Installation, kind: str) -> None:
    await deploy(installation, WAITING)
    (installation.files / f"a.{kind}").write_text("x")
    if kind == "retry":
        (timer,) = await until(lambda: rows(installation, TimerRow), installation)
        run_id = timer.run
    else:
        run_id = (await until(lambda: begun(installation, "work", 2 if kind == "map" else 1), installation))[
            0
        ].run
    await installation.ask("cancel", run=run_id, reason="enough")
    (run,) = await runs(installation, 1)
    assert (run.phase, run.error) == ("cancelled", "cancelled: enough")
    await until(lambda: not begun(installation, "work"), installation)
    assert all(row.done for row in rows(installation, TimerRow))
    assert {row.phase for row in rows(installation, AttemptRow) if row.step == "work"} == {
        "failed" if kind == "retry" else "cancelled"
    }
    status = await installation.ask("status")
    assert (status["runs"], status["in_flight"]) == ({"active": 0, "waiting": 0}, 0)
    assert rows(installation, DeadLetter) == []
    assert installation.stop() == 0


MANUAL = (
    HEAD
    + """
@function
def one(call):
    call.output("one").write_text(str(call["params"]["n"]))
    return stamp(call)

@function
def two(call):
    if not call["params"].get("good"):
        open("/nonexistent/file")
    return {**stamp(call), "inputs": [path.name for path in call.inputs]}

@function
def three(call):
    time.sleep(1 if call["params"].get("slow") else 0)
    return {"inputs": [path.name for path in call.inputs]}

manual = workflow("manual")
a = manual.step(one)
b = manual.step(two, after=a)
manual.step(three, after=[a, b])
"""
)


async def test_a_rerun_keeps_good_results_parameters_and_outputs(installation: Installation) -> None:
    await deploy(installation, MANUAL)
    (installation.files / "a.txt").write_text("x")
    path = str(installation.files / "a.txt")
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/manual",
        "type": "test.manual",
        "subject": path,
        "data": {"storage": "local", "path": path},
    }
    await installation.ask("start", workflow="local/manual", params={"n": 1}, event=event)
    (first,) = await runs(installation, 1)
    assert "step 'two' failed" in first.error
    again = await installation.ask("rerun", run=first.id)
    second = (await runs(installation, 2))[1]
    assert (second.id, second.phase) == (again["run"], "failed")
    assert result(second, "one") == result(first, "one"), "a good step was executed again"
    with pytest.raises(NotFound, match="no step 'four'"):
        await installation.ask("rerun", run=second.id, from_step="four")
    await installation.ask("status")
    assert [row.step for row in rows(installation, AttemptRow) if row.run == second.id] == ["two"]
    assert "FileNotFoundError" in second.error, "it lost its parameters"


@pytest.mark.slow
async def test_outputs_of_kept_steps_are_found_by_a_rerun_of_a_rerun_after_a_kill(
    installation: Installation,
) -> None:
    text = MANUAL.replace('workflow("manual")', 'workflow("manual", on="*.txt")')
    text = text.replace('call["params"]["n"]', "1").replace('not call["params"].get("good")', "not GOOD()")
    text = text.replace('1 if call["params"].get("slow") else 0', "2")
    text += f"\ndef GOOD():\n    import os\n    return os.path.exists({str(installation.files / 'good')!r})\n"
    await deploy(installation, text)
    (installation.files / "a.txt").write_text("x")
    (first,) = await runs(installation, 1)
    await installation.ask("rerun", run=first.id)
    second = (await runs(installation, 2))[1]
    (installation.files / "good").write_text("")
    third = await installation.ask("rerun", run=second.id)
    await until(lambda: begun(installation, "three"), installation)
    installation.kill()
    installation.start()
    found = {row.id: row for row in await runs(installation, 3)}[third["run"]]
    assert found.phase == "succeeded", found.error
    assert result(found, "one") == result(first, "one")
    assert result(found, "two")["inputs"] == ["a.txt", "a.one"]
    assert result(found, "three")["inputs"] == ["a.txt", "a.one"]


SIMPLE = (
    HEAD
    + """
@function
def work(call):
    time.sleep(0)
    return {"version": 1}

workflow("simple", on="*.txt").step(work)
"""
)


@pytest.mark.slow
async def test_a_trigger_is_paused_skips_is_rolled_back_and_removed(installation: Installation) -> None:
    await deploy(installation, SIMPLE)
    await installation.ask("trigger", name="simple", paused=True)
    (installation.files / "skipped.txt").write_text("x")
    await until(lambda: rows(installation, Decision), installation)
    await installation.ask("trigger", name="simple", paused=False, catch_up=False)
    (installation.files / "v1.txt").write_text("x")
    await runs(installation, 1)
    await deploy(installation, SIMPLE.replace('"version": 1', '"version": 2'))
    (installation.files / "v2.txt").write_text("x")
    await runs(installation, 2)
    changed = await installation.ask("trigger", name="simple", workflow="local/simple@1")
    assert changed["workflow"] == "local/simple@1"
    (installation.files / "v3.txt").write_text("x")
    found = await runs(installation, 3)
    assert [result(row, "work")["version"] for row in found] == [1, 2, 1]
    newest = await installation.ask("trigger", name="simple", workflow="local/simple")
    assert newest["workflow"] == "local/simple@2", "a version is pinned"
    with pytest.raises(NotFound, match="simple@9"):
        await installation.ask("trigger", name="simple", workflow="local/simple@9")
    await installation.ask("remove-trigger", name="simple")
    (installation.files / "v4.txt").write_text("x")
    with pytest.raises(NotFound, match="no trigger"):
        await installation.ask("trigger", name="simple", paused=True)
    assert [row.subject.rpartition("/")[2] for row in await runs(installation, 3)] == [
        "v1.txt",
        "v2.txt",
        "v3.txt",
    ]


@pytest.mark.slow
async def test_what_a_trigger_missed_is_caught_up_with_though_the_engine_is_killed(
    installation: Installation,
) -> None:
    await deploy(installation, SIMPLE)
    await installation.ask("trigger", name="simple", paused=True)
    for number in range(1500):
        (installation.files / f"{number}.txt").write_text("x")
    await until(lambda: len(rows(installation, Decision)) == 1500, installation)
    await installation.ask("trigger", name="simple", paused=False)
    installation.kill()
    installation.start()
    found = await runs(installation, 1500, within_s=90)
    assert len({row.event_id for row in found}) == 1500


@pytest.mark.slow
async def test_runs_keep_their_version_and_go_on_when_their_trigger_is_removed(
    installation: Installation,
) -> None:
    chain = SIMPLE.replace("time.sleep(0)", "time.sleep(1.5)").replace(
        'workflow("simple", on="*.txt").step(work)',
        'simple = workflow("simple", on="*.txt")\nsimple.step(work, name="second", after=simple.step(work))',
    )
    await deploy(installation, chain)
    (installation.files / "a.txt").write_text("x")
    await until(lambda: begun(installation, "work"), installation)
    await deploy(installation, chain.replace('"version": 1', '"version": 2'))
    await installation.ask("remove-trigger", name="simple")
    installation.kill()
    installation.start()
    (run,) = await runs(installation, 1)
    assert (run.phase, run.workflow) == ("succeeded", "local/simple@1")
    assert [result(run, step)["version"] for step in ("work", "second")] == [1, 1]


RING = (
    HEAD
    + """
@function(outputs="{parent}/{stem}x.b")
def ping(call):
    call.output("b").write_text(call.open("r").read() + "b")

@function(outputs="{parent}/{stem}x.a")
def pong(call):
    call.output("a").write_text(call.open("r").read() + "a")

@function(outputs="{parent}/{stem}x.own")
def selfish(call):
    call.output("own").write_text("x")

workflow("ping", on="*.a", depth_max=6).step(ping)
workflow("pong", on="*.b", depth_max=6).step(pong)
workflow("selfish", on="*.own", depth_max=4, own_outputs=True).step(selfish)
"""
)


@pytest.mark.slow
async def test_a_ring_of_triggers_ends_at_the_depth_limit_with_a_dead_letter(
    installation: Installation,
) -> None:
    await deploy(installation, RING)
    (installation.files / "ring.a").write_text("a")
    letter = (await until(lambda: rows(installation, DeadLetter), installation))[0]
    assert letter.kind == "loop", letter.reason
    assert "a ring of triggers?" in letter.reason
    assert "allows 6" in letter.reason
    count = len(
        await until(lambda: [row for row in rows(installation, RunRow) if row.ended_ns], installation)
    )
    assert count == 6
    (installation.files / "s.own").write_text("x")
    await until(lambda: len(rows(installation, DeadLetter)) == 2, installation)
    own = [row for row in rows(installation, RunRow) if row.workflow.startswith("local/selfish")]
    assert [row.phase for row in own] == ["succeeded"] * 4


@pytest.mark.slow
async def test_a_function_is_never_called_more_often_at_once_than_it_allows(
    installation: Installation,
) -> None:
    text = (
        HEAD
        + """
@function(concurrency=2)
def narrow(call):
    began = time.time_ns()
    time.sleep(0.15)
    return {"began": began, "ended": time.time_ns()}

workflow("narrow", on="*.txt").step(narrow)
"""
    )
    await deploy(installation, text)
    for number in range(16):
        (installation.files / f"{number}.txt").write_text("x")
    found = [result(row, "narrow") for row in await runs(installation, 16)]
    assert overlapping([(each["began"], each["ended"]) for each in found]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pool", "job"])
async def test_a_stop_fails_nothing_that_is_under_way(installation: Installation, kind: str) -> None:
    await deploy(installation, WAITING.replace("time.sleep(60)", "time.sleep(1.5)"))
    (installation.files / f"a.{kind}").write_text("x")
    await until(lambda: begun(installation, "work"), installation)
    assert installation.stop() == 0
    installation.start()
    (run,) = await runs(installation, 1)
    assert (run.phase, run.error) == ("succeeded", "")
    assert [row.attempt for row in rows(installation, AttemptRow)] == [1]


ENDING = (
    HEAD
    + """
@function(concurrency=1)
def work(call):
    time.sleep(0.02)
    return stamp(call)

@function
def never(call):
    return {}

workflow("work", on="*.txt").step(work)
workflow("never", on="*.none").step(never, when="FALSE")
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
async def test_more_runs_than_there_is_room_for_all_end_in_order(tmp_path: Path, killed: bool) -> None:
    installation = Installation(tmp_path, {"PENSTOCK_CAPACITY": "1"})
    installation.start()
    try:
        await deploy(installation, ENDING)
        for number in range(40):
            (installation.files / f"{number:03}.txt").write_text("x")
        for number in range(400):
            (installation.files / f"{number:03}.none").write_text("x")
        for _ in range(3 if killed else 0):
            await until(lambda: len(rows(installation, AttemptRow)) > 3, installation)
            installation.kill()
            installation.start()
            await installation.ask("status")
        found = await runs(installation, 440, within_s=60)
        assert {row.phase for row in found} == {"succeeded"}
        began = [
            (result(row, "work")["began"], row.subject) for row in found if row.workflow == "local/work@1"
        ]
        assert [subject for _, subject in sorted(began)] == sorted(subject for _, subject in began)
        tried = [row for row in rows(installation, AttemptRow) if row.step == "work"]
        assert len(tried) == 40
    finally:
        installation.kill()


async def test_a_waiting_run_is_cancelled_without_having_begun(tmp_path: Path) -> None:
    installation = Installation(tmp_path, {"PENSTOCK_CAPACITY": "1"})
    installation.start()
    try:
        await deploy(installation, ENDING.replace("0.02", "20"))
        (installation.files / "a.txt").write_text("x")
        await until(lambda: begun(installation, "work"), installation)
        (installation.files / "b.txt").write_text("x")
        waiting = await until(
            lambda: [row for row in rows(installation, RunRow) if row.phase == "waiting"], installation
        )
        await installation.ask("cancel", run=waiting[0].id, reason="enough")
        (run,) = await runs(installation, 1)
        assert (run.id, run.phase) == (waiting[0].id, "cancelled")
        assert [row for row in rows(installation, AttemptRow) if row.run == run.id] == []
        with pytest.raises(Conflict, match="has ended already"):
            await installation.ask("cancel", run=run.id)
        assert json.loads(run.snapshot)["phase"] == "cancelled"
    finally:
        installation.kill()
