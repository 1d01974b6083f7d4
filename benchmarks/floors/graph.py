"""The floor of a workflow: per closed file one durable append, then as many warm calls.

``graph.py FOLDER WORKERS LOG PLAN``: PLAN such as ``1,20,1`` has so many calls side by side in each stage.
After a file called ``end`` it prints a line ``name synced answered`` for each file: append and last answer.
"""

import ctypes
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

CLOSE_WRITE, MOVED_TO = 0x8, 0x80


def worker(sock: socket.socket) -> None:
    """Answer calls with the time."""
    while message := sock.recv(65536):
        sock.send(json.dumps({"path": json.loads(message)["path"], "t": time.monotonic_ns()}).encode())


def start(count: int) -> dict[int, socket.socket]:
    """Fork the warm processes and return their sockets by number."""
    socks: dict[int, socket.socket] = {}
    for _ in range(count):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            ours.close()
            worker(theirs)
            os._exit(0)
        theirs.close()
        socks[ours.fileno()] = ours
    return socks


def names(chunk: bytes) -> Iterator[bytes]:
    """Yield the names in one read of inotify."""
    at = 0
    while at < len(chunk):
        begin, at = at + 16, at + 16 + struct.unpack_from("iIII", chunk, at)[3]
        yield chunk[begin:at].rstrip(b"\0")


def stage(path: str, calls: int, socks: dict[int, socket.socket], poll: select.epoll) -> None:
    """Make so many calls on all workers and wait for the answers."""
    idle, waiting = list(socks.values()), calls * [path]
    while waiting or len(idle) < len(socks):
        while idle and waiting:
            idle.pop().send(json.dumps({"path": waiting.pop()}).encode())
        for number, _ in poll.poll():
            json.loads(socks[number].recv(65536))
            idle.append(socks[number])


def main(folder: str, workers: str, log: str, plan: str) -> None:
    """Notice a file, append and sync, call stage by stage."""
    socks, poll, libc, done = start(int(workers)), select.epoll(), ctypes.CDLL(None), [""]
    for number in socks:
        poll.register(number, select.EPOLLIN)
    target, inotify = os.open(log, os.O_WRONLY | os.O_CREAT), libc.inotify_init1(os.O_CLOEXEC)
    libc.inotify_add_watch(inotify, os.fsencode(folder), CLOSE_WRITE | MOVED_TO)
    print("ready", flush=True)
    while not done[-1].startswith("end "):
        for name in names(os.read(inotify, 1 << 20)):
            os.write(target, name.ljust(700, b"."))
            os.fdatasync(target)
            synced = time.monotonic_ns()
            for calls in plan.split(","):
                stage(f"{folder}/{name.decode()}", int(calls), socks, poll)
            done.append(f"{name.decode()} {synced} {time.monotonic_ns()}")
    print("\n".join(done[1:]))


if __name__ == "__main__":
    main(*sys.argv[1:])
