"""What the tests of the page deploy: fork, map, batch step and join; and a function that waits for a gate."""

import base64
import os
import time
from typing import Any

from penstock import Call, Retry, batch, function, workflow

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@function
def contents(call: Call) -> dict[str, Any]:
    """Says what is in the file."""
    if call.open("r").read() == "bad":
        raise ValueError("this is no measurement: <script>window.hurt = 1</script>")
    call.output("contents.json").write_text('{"title": "<b>scan</b>", "frames": 6}')
    return {"frames": list(range(6))}


@function
def picture(call: Call) -> dict[str, Any]:
    """Draws it."""
    call.output("picture.png").write_bytes(PICTURE)
    return {}


@function(retry=Retry(attempts=2, delay_s=0.01))
def peaks(call: Call) -> dict[str, Any]:
    """Finds peaks in one frame."""
    if call.item == 3 and call["run"]["attempt"] == 1:
        raise ValueError("the beam was off")
    return {"peaks": call.item}


@function
def refined(call: Call) -> dict[str, Any]:
    """Refines with all of them."""
    print("refining <img src=x onerror='window.hurt = 1'>", flush=True)
    return {}


@function
def report(call: Call) -> dict[str, Any]:
    """Sums it up."""
    call.output("report.txt").write_text("<img src=x onerror='window.hurt = 1'>")
    return {"peaks": len(call.results["peaks"])}


scan = workflow("scan", on="*.scan")
first = scan.step(contents)
drawn = scan.step(picture, after=first)
found = scan.step(peaks, after=first, each="contents.frames", window=2)
heavy = scan.step(refined, after=found, batch=batch(cores=1))
scan.step(report, after=[drawn, found, heavy])


@function(on="*.gated")
def gated(call: Call) -> dict[str, Any]:
    """Waits until there is a file beside the input."""
    print("waiting at the gate", flush=True)
    gate = call.open("r").read()
    while not os.path.exists(gate):
        time.sleep(0.01)
    print("the gate is open", flush=True)
    return {}
