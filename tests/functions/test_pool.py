"""The pool with real zygotes and workers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.function import Function, Kind, Limits
from penstock.core.ports import Answer
from penstock.functions.pool import STILLBORN_MOST, Pool
from penstock.functions.settings import PoolSettings
from penstock.testing.runtime import Caller

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})]),
]

CODE = """
import json, os, subprocess, sys, time
from pathlib import Path

def echo(call):
    return {"n": call.get("n"), "pid": os.getpid(), "session": os.getsid(0), "cwd": os.getcwd()}

def said(call):
    print("started", call["n"])
    Path(call["said"]).open("w").write("x") if "said" in call else None
    open(call["gate"]).read() if "gate" in call else None
    print("ended", call["n"])

def child_prints(call):
    print("mine", call["n"])
    subprocess.run(["echo", f"child's {call['n']}"], check=True)

def crash(call):
    os.abort()

def crash_once(call):
    if not call.get("again"):
        os.abort()
    return {"pid": os.getpid()}

def leave(call):
    process = subprocess.Popen(["sleep", call["seconds"]], start_new_session=True)
    return {"pid": os.getpid()}

def for_ever(call):
    while True:
        time.sleep(1000)

def gate(call):
    open(call["gate"]).read()
    return {"n": call["n"]}

def large(call):
    return {"size": len(call["text"]), "text": call["text"]}

def too_large(call):
    return {"text": "x" * (1 << 20)}

def link(call):
    os.symlink("/etc/passwd", call["write"]["path"] + "link")
    return {}

def too_many_bytes(call):
    call.output("big").write_bytes(bytes(5000))

def leaver(call):
    raise SystemExit("done")

def meddler(call):
    os.write(3, b"gibberish")

def python(call):
    return {"prefix": sys.prefix, "version": list(sys.version_info[:2])}

def wander(call):
    before = os.getcwd()
    os.chdir("/")
    return {"cwd": before}
"""

MISSING = """
import nowhere.at_all

def run(call):
    return {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    code = tmp_path / "odd näme's (1)"
    code.mkdir()
    (code / "my file-1.py").write_text(CODE)
    (code / "missing.py").write_text(MISSING)
    (code / "broken.py").write_text("def run(call):\n    return {\n")
    return code


@pytest.fixture
def settings(tmp_path: Path) -> PoolSettings:
    read = (str(tmp_path),)
    return PoolSettings(scratch=str(tmp_path / "scratch"), logs=str(tmp_path / "logs"), read=read)


@pytest.fixture
async def caller(settings: PoolSettings) -> AsyncIterator[Caller]:
    async for one in opened(settings):
        yield one


async def opened(settings: PoolSettings) -> AsyncIterator[Caller]:
    caller = Caller()
    pool = caller.runtime = Pool(settings, caller.answered)
    yield caller
    await pool.close()
    assert not os.listdir(settings.scratch) or any(answer.scratch for answer in caller.answers)


def function(folder: Path, attribute: str, file: str = "my file-1.py", **options: Any) -> Function:
    name = f"tests/{attribute.replace('_', '-')}"
    return Function(
        tenant="t", name=name, version=1, code=str(folder), entry=f"{file}:{attribute}", **options
    )


def command(folder: Path, *argv: str, **options: Any) -> Function:
    return Function(
        tenant="t",
        name="tests/command",
        version=1,
        kind=Kind.COMMAND,
        code=str(folder),
        command=argv,
        **options,
    )


def log_text(answer: Answer) -> str:
    file, start, end = answer.log.rsplit(":", 2)
    return Path(file).read_bytes()[int(start) : int(end)].decode()


def result(answer: Answer) -> Any:
    assert answer.error is None, answer.error
    return json.loads(bytes(answer.result or b""))


async def in_thread(work: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


async def test_a_worker_stays_warm_and_starts_each_call_at_home(caller: Caller, folder: Path) -> None:
    wander = function(folder, "wander")
    first, second = await caller.call(wander), await caller.call(wander)
    assert (first["cwd"], second["cwd"]) == (str(folder), str(folder))
    answers = [await caller.start(function(folder, "echo")) for _ in range(3)]
    assert len({answer.log.rsplit(":", 2)[0] for answer in answers}) == 1


async def test_after_a_renewal_calls_go_to_another_worker(caller: Caller, folder: Path) -> None:
    echo = function(folder, "echo")
    logs = [(await caller.start(echo)).log.rsplit(":", 2)[0]]
    caller.runtime.renew()
    logs += [(await caller.start(echo)).log.rsplit(":", 2)[0] for _ in range(2)]
    assert logs[0] != logs[1] == logs[2]


async def test_answers_tell_when_the_call_ran(caller: Caller, folder: Path) -> None:
    answer = await caller.start(function(folder, "echo"))
    assert 0 < answer.started_ns < answer.ended_ns


async def test_each_answer_names_its_own_part_of_the_log(caller: Caller, folder: Path) -> None:
    prints = function(folder, "child_prints", concurrency=1)
    answers = [await future for future in [caller.start(prints, n=n) for n in range(5)]]
    assert [log_text(answer) for answer in answers] == [f"mine {n}\nchild's {n}\n" for n in range(5)]


async def test_the_log_can_be_read_while_the_call_goes_on(
    caller: Caller, folder: Path, tmp_path: Path
) -> None:
    gate = fifo(tmp_path / "gate")
    future = caller.start(function(folder, "said"), key="key", n=1, gate=str(gate))
    with await in_thread(open, gate, "w"):
        assert isinstance(caller.runtime, Pool)
        place = caller.runtime.log_of("key")
        assert place is not None
        file, start, _ = place.rsplit(":", 2)
        assert Path(file).read_bytes()[int(start) :] == b"started 1\n"
    assert log_text(await future) == "started 1\nended 1\n"


async def test_a_traceback_is_short_in_the_error_and_whole_in_the_log(caller: Caller, folder: Path) -> None:
    (folder / "deep.py").write_text("import json\n\ndef run(call):\n    return json.loads('{')\n")
    answer = await caller.start(function(folder, "run", "deep.py"))
    assert answer.error is not None
    assert answer.error.startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert answer.error.splitlines()[1:] == ["  deep.py:4 in run: return json.loads('{')"]
    assert "json/decoder.py" in log_text(answer)


async def test_a_missing_module_is_named_with_file_line_and_remedy(caller: Caller, folder: Path) -> None:
    answers = [caller.start(function(folder, "run", "missing.py")) for _ in range(3)]
    for answer in [await future for future in answers]:
        assert answer.error is not None
        for part in ("missing.py:2", "No module named 'nowhere'", "dependencies"):
            assert part in answer.error
        assert not answer.retryable


async def test_a_syntax_error_names_its_line(caller: Caller, folder: Path) -> None:
    error = await caller.error(function(folder, "run", "broken.py"))
    assert "broken.py" in error
    assert "line 2" in error


async def test_a_corrected_file_is_imported_again(caller: Caller, folder: Path) -> None:
    broken = function(folder, "run", "broken.py")
    assert await caller.error(broken)
    (folder / "broken.py").write_text("def run(call):\n    return {'fine': 1}\n")
    assert await caller.call(broken) == {"fine": 1}


async def test_a_function_that_is_not_there_is_named(caller: Caller, folder: Path) -> None:
    assert "no function 'nobody'" in await caller.error(function(folder, "nobody"))


async def test_leaving_by_sys_exit_ends_the_call_not_the_worker(caller: Caller, folder: Path) -> None:
    assert "SystemExit: done" in await caller.error(function(folder, "leaver"))


async def test_messages_larger_than_a_packet_go_through(caller: Caller, folder: Path) -> None:
    text = "ü" * 100_000
    answer = await caller.call(function(folder, "large"), text=text)
    assert answer == {"size": len(text), "text": text}


async def test_a_too_large_answer_is_refused(caller: Caller, folder: Path) -> None:
    assert "write it to an output file" in await caller.error(function(folder, "too_large"))


async def test_a_link_among_the_outputs_is_refused(caller: Caller, folder: Path) -> None:
    answer = await caller.start(function(folder, "link"))
    assert "symbolic link" in (answer.error or "")
    assert (answer.result, answer.files, answer.retryable) == (None, None, False)


async def test_a_call_may_not_write_more_than_its_limit(caller: Caller, folder: Path) -> None:
    small = function(folder, "too_many_bytes", limits=Limits(file_bytes=4000))
    assert "file_bytes" in await caller.error(small)


async def test_gibberish_on_the_workers_socket_ends_it(caller: Caller, folder: Path) -> None:
    assert "its worker's own socket" in await caller.error(function(folder, "meddler"))
    assert await caller.call(function(folder, "echo"), n=1)


async def test_a_crash_is_told_and_may_be_tried_again(caller: Caller, folder: Path) -> None:
    crash = function(folder, "crash_once", concurrency=1)
    first = caller.start(crash)
    others = [caller.start(crash, again=True) for _ in range(3)]
    answer = await first
    assert "killed by signal" in (answer.error or "")
    assert (answer.retryable, answer.evicted) == (True, False)
    for other in others:
        assert result(await other)


async def test_a_worker_killed_from_outside_is_replaced(caller: Caller, folder: Path, tmp_path: Path) -> None:
    gate = fifo(tmp_path / "gate")
    future = caller.start(function(folder, "gate"), n=1, gate=str(gate))
    writer = await in_thread(os.open, gate, os.O_WRONLY)
    (pid,) = workers()
    os.kill(pid, signal.SIGKILL)
    answer = await future
    os.close(writer)
    assert "signal 9 (SIGKILL)" in (answer.error or "")
    assert (answer.retryable, answer.evicted) == (True, True)
    assert await caller.call(function(folder, "echo"))


async def test_a_worker_that_the_kernel_ends_for_its_own_memory_limit_has_failed(
    settings: PoolSettings, folder: Path, tmp_path: Path
) -> None:
    groups = tmp_path / "groups"
    async for caller in opened(dataclasses.replace(settings, cgroup=str(groups))):
        path = fifo(tmp_path / "gate")
        future = caller.start(function(folder, "gate"), n=1, gate=str(path))
        writer = await in_thread(os.open, path, os.O_WRONLY)
        (groups / "1" / "memory.events").write_text("max 7\noom 1\noom_kill 1\n")
        os.kill(workers()[0], signal.SIGKILL)
        answer = await future
        os.close(writer)
        assert "crossed its limit memory" in (answer.error or "")
        assert (answer.retryable, answer.evicted) == (False, False)


async def test_calls_that_a_killed_worker_had_not_begun_are_called_elsewhere(
    caller: Caller, folder: Path, tmp_path: Path
) -> None:
    path = fifo(tmp_path / "gate")
    gate = function(folder, "gate", concurrency=1)
    begun = caller.start(gate, n=0, gate=str(path))
    writer = await in_thread(os.open, path, os.O_WRONLY)
    waiting = [caller.start(gate, n=n, gate=os.devnull) for n in (1, 2, 3)]
    os.kill(workers()[0], signal.SIGKILL)
    assert (await begun).evicted
    os.close(writer)
    assert [result(await future)["n"] for future in waiting] == [1, 2, 3]


async def test_a_call_that_came_to_a_dead_worker_is_called_elsewhere(caller: Caller, folder: Path) -> None:
    echo = function(folder, "echo", concurrency=1)
    await caller.call(echo)
    (pid,) = workers()
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([descriptor], [], [])  # in the loop's thread: the pool cannot hear of it meanwhile
    os.close(descriptor)
    assert await caller.call(echo, n=1)
    assert pid not in workers()


async def test_a_worker_killed_while_it_starts_fails_no_call(
    caller: Caller, folder: Path, tmp_path: Path
) -> None:
    slow = SlowStart(folder, tmp_path)
    future = caller.start(slow.function)
    await slow.kill_one()
    await in_thread(slow.importing.write_text, "")
    os.write(slow.gate, b"x")
    assert result(await future) == {}


async def test_workers_that_are_always_killed_while_they_start_fail_the_call(
    caller: Caller, folder: Path, tmp_path: Path
) -> None:
    slow = SlowStart(folder, tmp_path)
    future = caller.start(slow.function)
    for _ in range(STILLBORN_MOST):
        await slow.kill_one()
    answer = await future
    assert (answer.result, answer.evicted) == (None, True)


async def test_a_function_that_ends_its_own_process_has_failed_by_itself(
    caller: Caller, folder: Path
) -> None:
    (folder / "leave.py").write_text("import os\ndef run(call):\n    os._exit(70)\n")
    answer = await caller.start(function(folder, "run", "leave.py"))
    assert "exit code 70" in (answer.error or "")
    assert not answer.evicted


async def test_a_killed_command_may_have_been_killed_from_outside(caller: Caller, folder: Path) -> None:
    kill_itself = command(folder, "sh", "-c", 'kill -"$PENSTOCK_ITEM" $$')
    answer = await caller.start(kill_itself, item=int(signal.SIGKILL))
    assert "sh was ended by SIGKILL" in (answer.error or "")
    assert answer.evicted
    assert not (await caller.start(kill_itself, item=int(signal.SIGABRT))).evicted


async def test_a_killed_zygote_is_replaced_and_its_calls_answered(caller: Caller, folder: Path) -> None:
    future = caller.start(function(folder, "for_ever"))
    await caller.call(function(folder, "echo"))
    (zygote,) = zygotes()
    os.kill(zygote, signal.SIGKILL)
    answer = await future
    assert "its zygote has ended" in (answer.error or "")
    assert (answer.retryable, answer.evicted) == (True, True)
    assert await caller.call(function(folder, "echo"))


async def test_time_over_ends_the_call_and_says_so(caller: Caller, folder: Path) -> None:
    slow = function(folder, "for_ever", limits=Limits(timeout_s=0.05), concurrency=1)
    answers = [await future for future in [caller.start(slow) for _ in range(2)]]
    for answer in answers:
        assert "timeout_s of 0.05 s" in (answer.error or "")
        assert not answer.retryable


async def test_what_a_call_left_running_is_ended_with_its_worker(caller: Caller, folder: Path) -> None:
    seconds = str(10_000 + os.getpid())
    leave = function(folder, "leave", concurrency=1)
    answers = [await future for future in [caller.start(leave, seconds=seconds) for _ in range(3)]]
    assert len({answer.log.rsplit(":", 2)[0] for answer in answers}) == 3
    await caller.runtime.close()
    assert not processes("sleep", seconds)


async def test_a_call_that_waits_is_taken_over_by_a_free_worker(
    caller: Caller, folder: Path, tmp_path: Path
) -> None:
    gates = [fifo(tmp_path / f"gate{n}") for n in range(2)]
    gate = function(folder, "gate", concurrency=2)
    blocked = caller.start(gate, n=0, gate=str(gates[0]))
    first = await in_thread(open, gates[0], "w")
    brief = caller.start(gate, n=1, gate=str(gates[1]))
    queued = [caller.start(gate, n=n, gate=os.devnull) for n in range(2, 20)]
    with await in_thread(open, gates[1], "w"):
        pass
    assert [result(await future)["n"] for future in (brief, *queued)] == list(range(1, 20))
    assert not blocked.done()
    first.close()
    assert result(await blocked)["n"] == 0


async def test_long_calls_get_more_workers_than_cores(caller: Caller, folder: Path, tmp_path: Path) -> None:
    gates = [fifo(tmp_path / f"gate{n}") for n in range(4)]
    futures = [caller.start(function(folder, "gate"), n=n, gate=str(gate)) for n, gate in enumerate(gates)]
    writers = [await in_thread(open, gate, "w") for gate in gates]
    for writer in writers:
        writer.close()
    assert [result(await future)["n"] for future in futures] == [0, 1, 2, 3]


async def test_functions_take_turns_when_there_are_too_few_places(
    settings: PoolSettings, folder: Path
) -> None:
    few = PoolSettings(scratch=settings.scratch, logs=settings.logs, workers_total_max=2, turn_s=0.0)
    async for caller in opened(few):
        functions = [function(folder, name) for name in ("echo", "wander", "python", "large")]
        futures = [caller.start(one, n=1, text="") for _ in range(10) for one in functions]
        for future in futures:
            result(await future)


async def test_idle_workers_are_ended(settings: PoolSettings, folder: Path) -> None:
    brief = PoolSettings(scratch=settings.scratch, logs=settings.logs, idle_s=0.02)
    async for caller in opened(brief):
        await caller.call(function(folder, "echo"))
        assert isinstance(caller.runtime, Pool)
        await caller.runtime.emptied()
        assert workers() == []
        assert await caller.call(function(folder, "echo"))


async def test_a_worker_with_a_long_log_gets_a_new_one(settings: PoolSettings, folder: Path) -> None:
    short = PoolSettings(scratch=settings.scratch, logs=settings.logs, log_file_bytes_max=1)
    async for caller in opened(short):
        prints = function(folder, "child_prints", concurrency=1)
        answers = [await future for future in [caller.start(prints, n=n) for n in range(6)]]
        assert [log_text(answer) for answer in answers] == [f"mine {n}\nchild's {n}\n" for n in range(6)]
        assert len({answer.log.rsplit(":", 2)[0] for answer in answers}) > 1


async def test_a_warmed_function_has_its_worker_before_the_first_call(caller: Caller, folder: Path) -> None:
    assert isinstance(caller.runtime, Pool)
    caller.runtime.warm(function(folder, "echo"))
    await caller.call(function(folder, "echo"))
    assert len(workers()) == 1


async def test_a_command_gets_json_and_answers_its_last_line(caller: Caller, folder: Path) -> None:
    script = (
        'echo "read $PENSTOCK_INPUT"; cat > "$PENSTOCK_OUTPUT_DIR/in.json"; echo note >&2; echo \'{"ok": 1}\''
    )
    answer = await caller.start(command(folder, "sh", "-c", script), read={"path": "/data/a b.h5"}, n=7)
    assert result(answer) == {"ok": 1}
    assert answer.files == ("in.json",)
    assert json.loads((Path(answer.scratch) / "in.json").read_text())["n"] == 7
    assert sorted(log_text(answer).splitlines()) == ["note", "read /data/a b.h5", '{"ok": 1}']


async def test_a_command_without_an_object_at_the_end_answers_an_empty_one(
    caller: Caller, folder: Path
) -> None:
    assert await caller.call(command(folder, "echo", "[1, 2]")) == {}


async def test_a_failing_command_shows_its_last_words(caller: Caller, folder: Path) -> None:
    error = await caller.error(command(folder, "sh", "-c", "echo no beam >&2; exit 3"))
    assert error == "sh ended with exit code 3; it printed last:\nno beam"


async def test_a_command_of_the_functions_folder_is_found(caller: Caller, folder: Path) -> None:
    script = folder / "run me.sh"
    script.write_text("#!/bin/sh\necho '{\"here\": \"'$(ls missing.py)'\"}'\n")
    script.chmod(0o755)
    assert await caller.call(command(folder, "./run me.sh")) == {"here": "missing.py"}


async def test_a_missing_command_is_named(caller: Caller, folder: Path) -> None:
    assert "cannot start no-such-program" in await caller.error(command(folder, "no-such-program"))


async def test_a_command_does_not_wait_for_what_it_left_running(caller: Caller, folder: Path) -> None:
    answer = await caller.start(command(folder, "sh", "-c", "sleep 10000 & echo '{\"gone\": 1}'"))
    assert result(answer) == {"gone": 1}


async def test_an_environment_of_its_own_is_used(caller: Caller, folder: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    other = function(folder, "python", python=str(environment / "bin" / "python"))
    assert (await caller.call(other))["prefix"] == str(environment)
    assert (await caller.call(function(folder, "echo")))["pid"]


async def test_a_missing_interpreter_is_named(caller: Caller, folder: Path) -> None:
    answer = await caller.start(function(folder, "python", python="/no/such/python"))
    assert "/no/such/python" in (answer.error or "")
    assert not answer.retryable


async def test_an_interpreter_that_fails_is_told_with_what_it_printed(caller: Caller, folder: Path) -> None:
    impostor = folder / "python"
    impostor.write_text("#!/bin/sh\necho this is no python\n")
    impostor.chmod(0o755)
    assert "this is no python" in await caller.error(function(folder, "python", python=str(impostor)))


async def test_no_process_is_left_after_closing(caller: Caller, folder: Path) -> None:
    futures = [caller.start(function(folder, "for_ever")) for _ in range(3)]
    await caller.call(function(folder, "echo"))
    await caller.runtime.close()
    assert all([(await future).error for future in futures])
    assert (zygotes(), workers()) == ([], [])


async def test_earlier_scratch_is_kept_until_it_is_swept(settings: PoolSettings, folder: Path) -> None:
    old = Path(settings.scratch) / "old-1" / "out"
    old.mkdir(parents=True)
    async for caller in opened(settings):
        answer = await caller.start(command(folder, "sh", "-c", "touch $PENSTOCK_OUTPUT_DIR/new"))
        assert old.exists()
        assert isinstance(caller.runtime, Pool)
        caller.runtime.sweep_earlier()
        await caller.runtime.close()
        assert not old.exists()
        assert Path(answer.scratch, "new").exists()


ENGINE = """
import asyncio, json, sys
from penstock.core.function import Function
from penstock.core.ports import Invocation
from penstock.functions.pool import Pool
from penstock.functions.settings import PoolSettings

async def main(folder, seconds):
    pool = Pool(PoolSettings(scratch=folder + "/scratch", logs=folder + "/logs"), print)
    script = f"(setsid sleep {seconds} &) ; echo started >&2; exec sleep {seconds}"
    call = Function(tenant="t", name="a/b", version=1, kind="command", command=("sh", "-c", script))
    pool.invoke(Invocation(key="k", function=call, params=b"{}"))
    while not (log := pool.log_of("k")) or b"started" not in read(log.rsplit(":", 2)[0]):
        await asyncio.sleep(0.01)
    print("up", flush=True)
    await asyncio.Event().wait()

def read(path):
    try:
        return open(path, "rb").read()
    except FileNotFoundError:
        return b""

asyncio.run(main(*sys.argv[1:]))
"""


async def test_nothing_outlives_a_killed_engine(tmp_path: Path, anyio_backend: object) -> None:
    seconds = str(20_000 + os.getpid())
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(tmp_path), seconds], stdout=subprocess.PIPE, text=True
    )
    with engine:
        try:
            assert engine.stdout is not None
            assert await in_thread(engine.stdout.readline) == "up\n"
            family = descendants(engine.pid)
            watched = [os.pidfd_open(pid) for pid in family]
        finally:
            engine.kill()
        for descriptor in watched:
            await ended(descriptor)
    # The zygote, the worker, the shell and what left its session.
    assert len(family) >= 4
    assert not processes("sleep", seconds)


class SlowStart:
    """A function whose file says when it is imported, and then waits for a byte in ``gate``."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.importing = fifo(place / "importing")
        gate = fifo(place / "gate")
        self.gate = os.open(gate, os.O_RDWR)
        (folder / "slow.py").write_text(
            f"open({str(self.importing)!r}).close()\n"
            f"open({str(gate)!r}, 'rb', buffering=0).read(1)\n"
            "def run(call):\n    return {}\n"
        )
        self.function = function(folder, "run", "slow.py", concurrency=1)

    async def kill_one(self) -> None:
        """Kill the worker that is importing it; return when its files are closed."""
        await in_thread(self.importing.write_text, "")
        (pid,) = workers()
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        await ended(descriptor)


async def ended(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(descriptor, event.set)
    await event.wait()
    loop.remove_reader(descriptor)
    os.close(descriptor)


def descendants(pid: int) -> list[int]:
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [one for child in children for one in (child, *descendants(child))]


def zygotes() -> list[int]:
    return [
        pid for pid in descendants(os.getpid()) if parent(pid) == os.getpid() and b"zygote" in cmdline(pid)
    ]


def workers() -> list[int]:
    return [pid for zygote in zygotes() for pid in descendants(zygote) if parent(pid) == zygote]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def processes(program: str, argument: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if program.encode() in words and argument.encode() in words:
                found.append(int(entry.name))
    return found
