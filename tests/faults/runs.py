"""What the kill test of runs deploys: a chain, a fork, a map, a job and a join, with outputs on the way."""

import time
from typing import Any

from penstock import Call, batch, function, workflow


@function
def cut(call: Call) -> dict[str, Any]:
    text = call.open("r").read()
    call.output("cut").write_text(text.upper())
    return {"pieces": list(text), "text": text}


@function
def piece(call: Call) -> dict[str, Any]:
    time.sleep(0.005)
    return {"code": ord(call.item)}


@function
def left(call: Call) -> dict[str, Any]:
    call.output("left").write_text(call.results["cut"]["text"] + "<")
    return {}


@function
def heavy(call: Call) -> dict[str, Any]:
    time.sleep(0.05)
    call.output("heavy").write_text(call.results["cut"]["text"] + ">")
    return {"heavy": True}


@function
def join(call: Call) -> dict[str, Any]:
    total = sum(each["code"] for each in call.results["piece"])
    names = ",".join(sorted(path.name for path in call.inputs[1:]))
    call.output("join").write_text(f"{total} {names}")
    return {"total": total}


scan = workflow("scan", on="*.raw")
first = scan.step(cut)
items = scan.step(piece, after=first, each="cut.pieces", window=4)
beside = scan.step(left, after=first)
job = scan.step(heavy, after=first, batch=batch(memory="64MiB"))
scan.step(join, after=[items, beside, job])
