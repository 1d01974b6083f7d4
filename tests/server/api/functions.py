"""What the tests of the API deploy."""

import time

from penstock import Call, function


@function(on={"glob": {"path": "*.raw"}}, outputs="{root}/results/{stem}.{name}")
def drawn(call: Call) -> dict[str, object]:
    content = call.open().read()
    print("drawing", len(content))
    call.output("png").write_bytes(b"\x89PNG" + content)
    call.output("html").write_text("<script>alert(1)</script>")
    return {"bytes": len(content)}


@function(on={"exact": {"type": "test.slow"}})
def slow(call: Call) -> dict[str, object]:
    print("begun", flush=True)
    gate = call.event["data"]["gate"]
    while True:
        try:
            open(gate).close()
            break
        except OSError:
            time.sleep(0.01)
    print("done", flush=True)
    return {}


@function(on={"exact": {"type": "test.bad"}})
def bad(call: Call) -> None:
    raise ValueError("this cannot be read")
