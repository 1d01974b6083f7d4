"""Calls a Python function once, in its own environment, without server, pool or sandbox.

Standard library only. Run as ``python -I bootstrap.py once ORDER ANSWER``: ``ORDER`` is a JSON file
with ``code``, ``entry`` and ``params``; ``ANSWER`` receives ``{"result": …}`` or ``{"error": …}``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from penstock.functions import calling


def main(order_file: str, answer_file: str) -> None:
    """Call what ``order_file`` says, and end the process whatever the function left running."""
    order = json.loads(Path(order_file).read_bytes())
    sys.argv = [order["entry"]]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    try:
        function = calling.find(order["code"], order["entry"])
        answer = b'{"result":%s}' % calling.invoke(function, order["params"], order["code"])
    except calling.Fault as fault:
        answer = json.dumps({"error": str(fault)}).encode()
    Path(answer_file).write_bytes(answer)
    calling.flush()
    os._exit(0)
