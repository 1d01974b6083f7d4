"""What a user's Python file defines, found by importing it in its own environment."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.core.errors import Invalid
from penstock.functions import bootstrap
from penstock.functions.child import Ended, Lines, ignore, run
from penstock.functions.script import read as read_script

IMPORT_TIMEOUT_S = 120.0
DOCUMENT_BYTES_MAX = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Description:
    """What importing a file told.

    Attributes:
        document: As ``functions.describe`` writes it, without faults, and ``include`` from the file's block
            (PEP 723); ``workflows.read`` checks it.
        printed: The end of what the file printed meanwhile.
    """

    document: dict[str, Any]
    printed: str


def describe(
    file: Path, python: str, *, timeout_s: float = IMPORT_TIMEOUT_S, on_line: Lines = ignore
) -> Description:
    """Import ``file`` in ``python`` and return what it defines. Blocks up to ``timeout_s`` seconds.

    The file's code runs, with the rights of this process: only its owner's process may do this.

    Args:
        file: The user's Python file.
        python: Interpreter of its environment.
        timeout_s: Longest time that importing it may take.
        on_line: Gets what the file prints, line by line.

    Raises:
        Invalid: It cannot be imported; the message names the place and the remedy.
    """
    if not file.is_file():
        raise Invalid(f"{file}: no such file")
    with tempfile.TemporaryDirectory(prefix="penstock-describe-") as folder:
        answer = Path(folder) / "answer.json"
        argv = [python, "-I", "-B", "-X", "utf8", str(Path(bootstrap.__file__)), "describe"]
        ended = run(
            [*argv, str(file.resolve()), str(answer)],
            timeout_s=timeout_s,
            on_line=on_line,
            folder=file.resolve().parent,
        )
        document = _document(file, answer, ended, timeout_s)
    fault = document["fault"]
    if fault is not None:
        place = f"{fault['file']}:{fault['line']}" if fault["line"] else fault["file"]
        raise Invalid(f"{place}: {fault['message']}")
    document["include"] = list(read_script(file).include)
    return Description(document=document, printed=ended.stdout + ended.stderr)


def _document(file: Path, answer: Path, ended: Ended, timeout_s: float) -> dict[str, Any]:
    if ended.code is None:
        raise Invalid(
            f"{file.name}: importing it took longer than {timeout_s:g} s; "
            "move work into the function, so that the file only defines things"
        )
    if not answer.is_file():
        raise Invalid(
            f"{file.name}: importing it ended its process with {_exit(ended.code)} "
            f"before its definitions were read:\n    {_last_lines(ended)}"
        )
    if answer.stat().st_size > DOCUMENT_BYTES_MAX:
        raise Invalid(f"{file.name}: its definitions take more than {DOCUMENT_BYTES_MAX} bytes")
    document: dict[str, Any] = json.loads(answer.read_bytes())
    return document


def _exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last_lines(ended: Ended) -> str:
    return "\n    ".join((ended.stderr or ended.stdout).strip().splitlines()[-5:]) or "(it printed nothing)"
