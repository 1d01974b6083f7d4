"""Functions that misbehave. Each is capped, so that a limit that fails does not take the machine with it."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from penstock import Call, batch, function, workflow

MIB = 1 << 20
FORKS_MOST = 300
LIFE_S = 25.0
"""After which whatever was started ends by itself."""


@function
def neighbour(call: Call) -> dict[str, Any]:
    return {"pid": os.getpid()}


@function(timeout_s=1)
def loop(call: Call) -> None:
    until = time.monotonic() + LIFE_S
    while time.monotonic() < until:
        pass


@function(timeout_s=1)
def ignore_signals(call: Call) -> None:
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
    until = time.monotonic() + LIFE_S
    while time.monotonic() < until:
        time.sleep(0.05)


@function(processes=16, timeout_s=20)
def fork_bomb(call: Call) -> None:
    for _ in range(FORKS_MOST):
        with contextlib.suppress(OSError):
            if os.fork() == 0:
                time.sleep(LIFE_S)
                os._exit(0)
    time.sleep(LIFE_S)


@function(memory="128MiB", timeout_s=20)
def allocate(call: Call) -> None:
    kept = [bytearray(50 << 30)]
    time.sleep(LIFE_S)
    del kept


@function(memory="128MiB", processes=32, timeout_s=20)
def allocate_in_children(call: Call) -> None:
    for _ in range(12):
        if os.fork() == 0:
            block = b"x" * (30 * MIB)
            time.sleep(LIFE_S)
            os._exit(len(block) % 7)
    time.sleep(LIFE_S)


@function
def escape(call: Call) -> dict[str, Any]:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.closerange(0, 64)
            time.sleep(LIFE_S)
        os._exit(0)
    os.wait()
    return {"escaped": True}


@function(log="1MiB", timeout_s=20)
def print_much(call: Call) -> None:
    for _ in range(10 << 10):
        print("x" * MIB)


@function
def leave(call: Call) -> None:
    os._exit(3)


@function
def crash(call: Call) -> None:
    ctypes.string_at(0)


@function
def write_outside(call: Call) -> None:
    call.input.write_text("spoiled")


@function
def write_beside(call: Call) -> None:
    (call.input.parent / "planted.txt").write_text("planted")


@function
def read_state(call: Call) -> dict[str, Any]:
    home, found = Path(call["params"]["home"]), []
    for path in ("state/state.db", "run/token", "run/engine.sock", "penstock.toml", "secret/id_ed25519"):
        with contextlib.suppress(OSError):
            found.append((home / path).open("rb").read(10).hex())
    return {"found": found}


@function
def kill_parent(call: Call) -> dict[str, Any]:
    tried = 0
    for pid in {os.getppid(), call["params"]["engine"]} - {0, 1}:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            tried += 1
    time.sleep(0.2)
    return {"killed": tried}


@function
def close_all(call: Call) -> None:
    os.closerange(0, 256)


@function
def closed_output(call: Call) -> dict[str, Any]:
    sys.stdout.close()
    with contextlib.suppress(ValueError):
        print("to nobody")
    return {"printed": True}


@function
def answer_much(call: Call) -> dict[str, Any]:
    return {"long": "x" * (100 * MIB)}


@function
def answer_nan(call: Call) -> dict[str, Any]:
    return {"value": float("nan")}


@function
def answer_bytes(call: Call) -> dict[str, Any]:
    return {"value": b"raw"}


@function
def climb(call: Call) -> None:
    call.output("../x").write_text("x")


@function
def absolute(call: Call) -> None:
    call.output("/tmp/penstock-hostile-x").write_text("x")


@function
def odd_names(call: Call) -> None:
    folder = os.fsencode(call["write"]["path"])
    for name in (b"new\nline", b"not-utf8-\xff"):
        Path(os.fsdecode(folder + name)).write_text("x")


@function
def link(call: Call) -> None:
    os.symlink("/etc/passwd", call["write"]["path"] + "link")


@function
def many_files(call: Call) -> None:
    for number in range(20_000):
        Path(call["write"]["path"], str(number)).touch()


@function
def delete_input(call: Call) -> None:
    call.input.unlink()


@function(disk="1MiB", timeout_s=20)
def fill_disk(call: Call) -> None:
    for number in range(40):
        call.output(f"large-{number}").write_bytes(bytes(200 * 1024))
    time.sleep(2)


for plain in (loop, print_much, escape, crash, leave, answer_much, answer_nan, fill_disk, link):
    name = plain.__name__.replace("_", "-")
    workflow(name).step(plain)
    limits = batch(walltime_s=1 if plain is loop else 20, memory="1GiB")
    workflow(f"{name}-job").step(plain, batch=limits)
