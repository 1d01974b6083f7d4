"""A workflow with a map, a retry, a batch step and a join."""

import time
from typing import Any

from penstock import Call, Retry, batch, function, workflow


@function
def listing(call: Call) -> dict[str, Any]:
    return {"items": list(range(30)), "n": call.data["size"]}


@function(retry=Retry(attempts=3, delay_s=0.05))
def square(call: Call) -> dict[str, Any]:
    if call.item == 7 and call["run"]["attempt"] < 3:
        raise ValueError("not yet")
    return {"v": call.item**2}


@function
def heavy(call: Call) -> dict[str, Any]:
    time.sleep(0.3)
    call.output("heavy.txt").write_text("heavy " + str(call.results["listing"]["n"]))
    print("heavy here")
    return {"ok": True}


@function
def join(call: Call) -> dict[str, Any]:
    call.output("sum.txt").write_text(
        str(sum(v["v"] for v in call.results["square"])) + " " + call.inputs[1].read_text()
    )
    return {"inputs": [str(p) for p in call.inputs]}


scan = workflow("scan", on="*.txt")
a = scan.step(listing)
b = scan.step(square, after=a, each="listing.items", window=8)
c = scan.step(heavy, after=a, batch=batch(cores=1))
scan.step(join, after=[b, c])
