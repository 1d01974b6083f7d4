from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock
from penstock.batch import wrapper
from penstock.batch.command import WRAPPER, job_argv
from penstock.batch.result import JobResult, read_result
from penstock.core.errors import JobFailed, NotFound
from penstock.core.function import Function, Kind, Limits
from penstock.core.job import JobState

NO_MORE = Limits()
SDK = Path(penstock.__file__).parent


class Wrapped:
    """A job's folder, its code, and what its wrapper made of it."""

    def __init__(self, folder: Path) -> None:
        self.code = folder / "cöde"
        self.code.mkdir()
        self.folder = folder / "job folder"
        self.folder.mkdir()
        self.exit_code = 0
        self.log = ""

    def python(self, body: str, params: dict[str, Any] | None = None, **options: Any) -> JobResult:
        """Run ``go(call)`` with this body."""
        lines = "\n    ".join(body.splitlines())
        (self.code / "f.py").write_text(f"import os, sys, time\n\ndef go(call):\n    {lines}\n")
        return self.run(Function(tenant="t", name="t/f", version=1, entry="f.py:go"), params, **options)

    def command(self, *command: str, params: dict[str, Any] | None = None) -> JobResult:
        return self.run(
            Function(tenant="t", name="t/f", version=1, kind=Kind.COMMAND, command=command), params
        )

    def run(
        self,
        function: Function,
        params: dict[str, Any] | None = None,
        *,
        limits: Limits = NO_MORE,
        environment: dict[str, str] | None = None,
        payload: bytes | None = None,
        confine: tuple[str, dict[str, Any]] | None = None,
    ) -> JobResult:
        function = msgspec.structs.replace(function, code=str(self.code), limits=limits)
        (self.folder / "payload.json").write_bytes(
            json.dumps(params or {}).encode() if payload is None else payload
        )
        ended = subprocess.run(
            job_argv(function, SDK, confine=confine),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], **(environment or {})},
            capture_output=True,
            timeout=30,
            text=True,
            check=False,
        )
        self.exit_code = ended.returncode
        self.log = ended.stdout
        assert not ended.stderr
        return read_result(self.folder)


@pytest.fixture
def wrapped(tmp_path: Path) -> Wrapped:
    return Wrapped(tmp_path)


def answer(result: JobResult) -> Any:
    assert result.result is not None, result.error
    return json.loads(bytes(result.result))


def test_the_answer_the_times_and_the_files_are_in_the_result(wrapped: Wrapped) -> None:
    result = wrapped.python(
        "print('hello')\ncall.output('b/ü 1.txt').write_text('x')\n"
        "return {'n': call['n'], 'to': call['write']}",
        {"n": 3, "write": {"publish": "{parent}/x"}},
    )
    assert answer(result) == {"n": 3, "to": {"publish": "{parent}/x", "path": f"{wrapped.folder}/scratch/"}}
    assert result.files == ("b/ü 1.txt",)
    assert 0 < result.started_ns < result.ended_ns
    assert (result.state, result.exit_code, wrapped.exit_code) == (JobState.SUCCEEDED, 0, 0)
    assert wrapped.log == "hello\n"


def test_file_names_keep_their_bytes(wrapped: Wrapped) -> None:
    result = wrapped.python(
        "open(os.path.join(os.fsencode(call['write']['path']), b'\\xff\\n'), 'w').close()"
    )
    assert [os.fsencode(name) for name in result.files] == [b"\xff\n"]


def test_an_exception_is_told_with_the_users_own_line(wrapped: Wrapped) -> None:
    result = wrapped.python("raise ValueError('no beam')")
    assert result.error == "ValueError: no beam\n  f.py:4 in go: raise ValueError('no beam')"
    assert result.retryable
    assert "Traceback" in wrapped.log
    assert wrapped.exit_code == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return [1]", "answer a dict"),
        ("return {'a': {1, 2}}", "not JSON"),
        ("return {'a': float('nan')}", "not JSON"),
        ("return {'a': '\\udcff'}", "not JSON"),
        ("os.symlink('/etc/passwd', call.output('x'))", "link"),
        ("os._exit(3)", "exit code 3"),
        ("sys.exit('enough')", "SystemExit: enough"),
        ("os.abort()", "SIGABRT"),
        ("import not_there", "ModuleNotFoundError"),
    ],
)
def test_what_is_no_answer_fails_with_words(wrapped: Wrapped, body: str, words: str) -> None:
    result = wrapped.python(body)
    assert words in (result.error or "")
    assert result.state is JobState.FAILED
    assert result.result is None


def test_nothing_answered_is_an_empty_object_and_a_coroutine_is_awaited(wrapped: Wrapped) -> None:
    assert answer(wrapped.python("pass")) == {}
    assert answer(wrapped.python("async def later(): return {'a': 1}\nreturn later()")) == {"a": 1}


def test_a_fork_that_comes_back_out_of_the_function_does_not_answer_too(wrapped: Wrapped) -> None:
    result = wrapped.python("pid = os.fork()\nif pid: os.waitpid(pid, 0)\nreturn {'parent': pid > 0}")
    assert answer(result) == {"parent": True}


def test_code_that_cannot_be_loaded_is_named(wrapped: Wrapped) -> None:
    missing = wrapped.run(Function(tenant="t", name="t/f", version=1, entry="gone.py:go"))
    assert "gone.py is missing; deploy the function again" in (missing.error or "")
    (wrapped.code / "f.py").write_text("import nothing_like_it")
    broken = wrapped.run(Function(tenant="t", name="t/f", version=1, entry="f.py:go"))
    assert "cannot import f.py: ModuleNotFoundError" in (broken.error or "")
    assert not broken.retryable


def test_a_payload_that_is_no_object_is_refused(wrapped: Wrapped) -> None:
    function = Function(tenant="t", name="t/f", version=1, entry="f.py:go")
    assert "no JSON:" in (wrapped.run(function, payload=b"{").error or "")
    assert "no JSON object" in (wrapped.run(function, payload=b"[]").error or "")


def test_the_log_limit_ends_the_function_and_keeps_what_was_printed_before(wrapped: Wrapped) -> None:
    result = wrapped.python("while True: print('x' * 99)", limits=Limits(log_bytes=100_000))
    assert result.error == "printed more than its log limit of 97.6562 KiB"
    assert len(wrapped.log) == 100_000
    assert not result.retryable


def test_the_memory_limit_is_named(wrapped: Wrapped) -> None:
    result = wrapped.python(
        "return {'n': len(bytearray(64 << 30))}", environment={wrapper.MEMORY_VARIABLE: str(256 << 20)}
    )
    assert "its limit is 256 MiB" in (result.error or "")
    assert not result.retryable


def test_the_file_limit_is_kept_by_the_kernel(wrapped: Wrapped) -> None:
    result = wrapped.python("call.output('a').write_bytes(b'x' * 5000)", limits=Limits(file_bytes=1000))
    assert "File too large" in (result.error or "")


def test_a_command_reads_standard_input_and_answers_on_its_last_line(wrapped: Wrapped) -> None:
    script = wrapped.code / "count.sh"
    script.write_text(
        '#!/bin/sh\necho to stderr >&2\necho "$PENSTOCK_STEP"; read line\necho "{\\"got\\": $line}"\n\n'
    )
    script.chmod(0o755)
    result = wrapped.command("./count.sh", params={"run": {"step": "s"}})
    assert answer(result)["got"]["run"] == {"step": "s"}
    assert wrapped.log.startswith("to stderr\ns\n") or wrapped.log.startswith("s\n")


def test_a_command_that_fails_tells_what_it_printed_last(wrapped: Wrapped) -> None:
    result = wrapped.command("sh", "-c", "echo no calibration >&2; exit 4")
    assert result.error == "sh ended with exit code 4; it printed last:\nno calibration"
    assert result.exit_code == 4
    assert "cannot start" in (wrapped.command("no-such-program").error or "")


def test_a_last_line_that_is_no_object_is_just_output(wrapped: Wrapped) -> None:
    assert answer(wrapped.command("echo", "done")) == {}


def test_a_process_killed_from_outside_is_evicted(wrapped: Wrapped) -> None:
    result = wrapped.python("os.kill(os.getpid(), 9)")
    assert (result.state, result.exit_code, wrapped.exit_code) == (JobState.EVICTED, -9, 137)


def test_a_wrapper_told_to_end_leaves_no_process_and_no_result(wrapped: Wrapped) -> None:
    said = wrapped.folder / "said"
    os.mkfifo(said)
    (wrapped.code / "f.py").write_text(
        "import os, signal, time\n"
        "def go(call):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    for _ in range(3):\n"
        "        os.fork()\n"
        "    os.setpgid(0, 0)\n"
        f"    with open({str(said)!r}, 'w') as file: file.write(f'{{os.getpid()}}\\n')\n"
        "    time.sleep(3600)\n"
    )
    (wrapped.folder / "payload.json").write_text("{}")
    function = Function(tenant="t", name="t/f", version=1, code=str(wrapped.code), entry="f.py:go")
    with subprocess.Popen(job_argv(function, SDK), cwd=wrapped.folder) as process:
        with open(said) as file:
            pids = [int(file.readline())]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    marked = [path for path in Path("/proc").glob("[0-9]*/cwd") if _link(path) == str(wrapped.code)]
    assert not marked
    with pytest.raises(NotFound, match="no result"):
        read_result(wrapped.folder)


def test_the_functions_process_is_confined_before_its_code_runs(wrapped: Wrapped, tmp_path: Path) -> None:
    (wrapped.code / "strict.py").write_text(
        "import os\n"
        "fork = os.fork\n"
        "def enter(plan):\n"
        "    os.environ['PLAN'] = str(plan['a']) + plan['write'][0]\n"
    )
    environment = {"PATH": os.environ["PATH"]}
    (wrapped.code / "f.py").write_text(
        "import os\nplan = os.environ['PLAN']\ndef go(call): return {'plan': plan}"
    )
    (wrapped.folder / "payload.json").write_text("{}")
    function = Function(tenant="t", name="t/f", version=1, code=str(wrapped.code), entry="f.py:go")
    argv = [arg for arg in job_argv(function, SDK, confine=("strict", {"a": 5})) if arg != "-I"]
    environment["PYTHONPATH"] = str(wrapped.code)
    assert subprocess.run(argv, cwd=wrapped.folder, env=environment, timeout=30, check=False).returncode == 0
    assert answer(read_result(wrapped.folder)) == {"plan": f"5{wrapped.folder}/scratch"}


def test_a_result_that_the_wrapper_did_not_write_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(JobFailed, match="not written by"):
        read_result(tmp_path)


def test_the_wrapper_is_one_file_of_standard_library_for_python_3_9() -> None:
    tree = ast.parse(WRAPPER.read_text(), feature_version=(3, 9))
    names = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_last_line_is_found_however_the_text_is_cut() -> None:
    for size in (1, 2, 3, 100):
        line = wrapper.LastLine()
        text = b'first\n{"a": 1}\n  \n\n'
        for start in range(0, len(text), size):
            line.feed(text[start : start + size])
        assert line.text() == b'{"a": 1}'


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
