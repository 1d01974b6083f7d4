"""Runs the demo's steps on files, one after another, as a worker would; a script, not a test.

``python steps.py FUNCTIONS OUT FILE...`` writes ``OUT/<file's name>/answers.json``, with the error's text
under ``failed`` where a step failed.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from penstock.sdk import Call

STEPS = ("metadata", "preview", "reduce", "page")


def main(functions: str, out: str, *files: str) -> None:
    sys.path.insert(0, functions)
    importlib.import_module("scan")
    for file in files:
        folder = Path(out) / Path(file).name
        folder.mkdir(parents=True)
        (folder / "answers.json").write_text(json.dumps(answers(Path(file), folder)))


def answers(file: Path, folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for step in STEPS:
        inputs = [{"path": str(file)}, *({"path": str(path)} for path in sorted(folder.iterdir()))]
        call = Call(
            event={"id": "e", "time": "2026-11-21T09:00:00Z"},
            read=inputs[0],
            inputs=inputs,
            write={"path": str(folder)},
            exec={"function": f"demo/{step}@1"},
            run={"id": "r", "step": step, "attempt": 1},
            results=results,
        )
        try:
            results[step] = getattr(importlib.import_module(step), step)(call)
        except ValueError as error:
            return {**results, "failed": str(error)}
    return results


main(*sys.argv[1:])
