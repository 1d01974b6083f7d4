"""How engine, zygote and worker talk: one message, one packet. Standard library only, Python 3.9 or later.

All three talk over pairs of ``SOCK_SEQPACKET`` sockets. A packet arrives whole or not at all, and who
reads it has it alone: so the engine, which keeps a second handle of the worker's end, can take back a
call that the worker has not begun, without asking anybody. What does not fit into a packet travels in
an anonymous file, whose descriptor goes with an empty object as its packet.

| from, to       | packet                                                                        |
|----------------|-------------------------------------------------------------------------------|
| engine, worker | the parameters of one call, as they are                                       |
| worker, engine | a ``Reply`` (see ``functions.slot``): one when it is ready, then one per call |
| engine, zygote | an order: ``{"do": "fork", …}``, or kill, watch, unwatch, preload             |
| zygote, engine | a notice: ``{"ended": worker, "status": …}`` or ``{"breach": worker, …}``     |
"""

from __future__ import annotations

import array
import os
import socket
import stat

INLINE_BYTES_MAX = 48 << 10
"""Longest message that travels in the packet itself; two of them fit into a socket's buffer."""
PACKET_BYTES_MAX = 64 << 10
MESSAGE_BYTES_MAX = 64 << 20
"""Longest message at all."""
_DESCRIPTOR_SPACE = socket.CMSG_LEN(4)
"""Room for one descriptor; ``CMSG_SPACE`` would have room for two, and the second would never be closed."""
_IN_A_FILE = b"{}\n"


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends; both block."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: bytes) -> None:
    """Send one message, which must not be empty.

    Raises:
        BlockingIOError: The other side has not read what it was sent (non-blocking sockets only).
        OSError: The other side has gone.
    """
    if len(message) <= INLINE_BYTES_MAX:
        sock.send(message)
        return
    descriptor = os.memfd_create("penstock-message", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(message)
        send_with(sock, _IN_A_FILE, descriptor)
    finally:
        os.close(descriptor)


def send_with(sock: socket.socket, packet: bytes, descriptor: int) -> None:
    """Send a packet and a descriptor with it; raises like ``send``."""
    sock.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])


def receive(sock: socket.socket, flags: int = 0) -> bytes:
    """Return the next message; empty when the other side has gone.

    Raises:
        BlockingIOError: There is none (non-blocking sockets, or ``MSG_DONTWAIT`` in ``flags``).
        OSError: The other side has gone without reading everything.
    """
    packet, ancillary, _, _ = sock.recvmsg(PACKET_BYTES_MAX, _DESCRIPTOR_SPACE, flags)
    return _content(_descriptor(ancillary)) if ancillary else packet


def _content(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        # Who sends it may be a user's function gone wild: never wait for a pipe, never read without end.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b"not a file"
        file.seek(0)
        return file.read(MESSAGE_BYTES_MAX)


def receive_with(sock: socket.socket, flags: int = 0) -> tuple[bytes, int | None]:
    """Return the next packet and the descriptor that came with it, if one did; raises like ``receive``."""
    packet, ancillary, _, _ = sock.recvmsg(PACKET_BYTES_MAX, _DESCRIPTOR_SPACE, flags)
    return packet, _descriptor(ancillary) if ancillary else None


def _descriptor(ancillary: list[tuple[int, int, bytes]]) -> int:
    descriptors = array.array("i")
    descriptors.frombytes(ancillary[0][2][: descriptors.itemsize])
    return descriptors[0]
