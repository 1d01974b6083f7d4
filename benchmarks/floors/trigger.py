"""The floor of a trigger: an inotify loop that sends each closed file's path to warm Python processes.

``trigger.py FOLDER WORKERS [LOG]``: with LOG, a record of 700 bytes is appended and synced before
each send (the *durable* floor); without, nothing is kept (the *bare* floor). After a file called ``end``
it prints a line ``name begun answered`` for each file, in nanoseconds of the monotonic clock.
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
    """Answer calls; the first line of the function takes the time."""
    while message := sock.recv(65536):
        params = {**json.loads(message), "begun": time.monotonic_ns()}
        sock.send(json.dumps(params).encode())


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


def main(folder: str, workers: int, log: int | None = None) -> None:
    """Notice, (append and sync,) send, take answers."""
    socks, libc, poll = start(workers), ctypes.CDLL(None), select.epoll()
    inotify = libc.inotify_init1(os.O_CLOEXEC)
    libc.inotify_add_watch(inotify, os.fsencode(folder), CLOSE_WRITE | MOVED_TO)
    idle, done, stopping = list(socks.values()), [], False
    queue: list[bytes] = []
    for number in (inotify, *socks):
        poll.register(number, select.EPOLLIN)
    print("ready", flush=True)
    while not stopping or queue or len(idle) < len(socks):
        for number, _ in poll.poll():
            if number == inotify:
                fresh = list(names(os.read(inotify, 1 << 20)))
                if log is not None:
                    os.write(log, b"".join(name.ljust(700, b".") for name in fresh))
                    os.fdatasync(log)
                queue += fresh
                stopping = stopping or b"end" in fresh
            else:
                done.append((json.loads(socks[number].recv(65536)), time.monotonic_ns()))
                idle.append(socks[number])
        while queue and idle:
            idle.pop().send(json.dumps({"path": f"{folder}/{queue.pop(0).decode()}"}).encode())
    print("\n".join(f"{os.path.basename(one['path'])} {one['begun']} {at}" for one, at in done))


if __name__ == "__main__":
    target = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in sys.argv[3:]]
    main(sys.argv[1], int(sys.argv[2]), *target)
