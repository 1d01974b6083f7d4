"""One child process: its lines, its limits, and that nothing it leaves behind holds us up."""

import os
import sys
from pathlib import Path

import pytest

from penstock.functions.child import KEPT_BYTES_MAX, run


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def test_lines_are_passed_on_and_both_streams_kept_apart() -> None:
    lines: list[str] = []
    ended = run(
        python("import sys; print('a'); sys.stdout.flush(); sys.stderr.write('b\\nc'); sys.exit(3)"),
        timeout_s=60,
        on_line=lines.append,
    )
    assert (ended.code, ended.stdout, ended.stderr) == (3, "a\n", "b\nc")
    assert sorted(lines) == ["a", "b", "c"]


def test_standard_input_is_given_whole() -> None:
    given = os.urandom(1 << 20).hex().encode()
    ended = run(python("import sys; print(len(sys.stdin.read()))"), timeout_s=60, stdin=given)
    assert ended.stdout == f"{len(given)}\n"


def test_of_much_output_the_end_is_kept() -> None:
    ended = run(python(f"print('x' * {4 * KEPT_BYTES_MAX} + 'end')"), timeout_s=60)
    assert len(ended.stdout) == KEPT_BYTES_MAX
    assert ended.stdout.endswith("end\n")


def test_one_that_takes_too_long_is_killed() -> None:
    assert run(["sleep", "1000"], timeout_s=0.05).code is None


def test_a_process_that_left_the_session_with_our_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "    os.write(1, b'out\\n')\n"
        "    time.sleep(1000)\n"
        f"while not os.path.exists({str(pid)!r}) or not open({str(pid)!r}).read(): pass\n"
    )
    try:
        assert run(python(code), timeout_s=50).code == 0
    finally:
        os.kill(int(pid.read_text()), 9)


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        run(["/no/such/program"], timeout_s=1)
