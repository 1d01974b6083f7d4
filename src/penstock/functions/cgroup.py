"""Control groups, version 2: memory and task limits of a whole worker, and its certain end.

Only a subtree that this user owns is used. systemd gives one to a unit with ``Delegate=yes``.
Without the memory and pids controllers there a group still lists and kills its members.
"""

from __future__ import annotations

import os
import select
import time

MOUNTS = "/proc/self/mountinfo"
MINE = "/proc/self/cgroup"
_NAME = "penstock."
_END_S = 2.0
_CONTROLLERS = ("memory", "pids")


def prepare() -> str | None:
    """Make the folder in which workers get their groups, once, at the engine's start.

    Groups left over from an engine that was killed are ended and removed.

    Returns:
        The folder, for ``child``; ``None`` if this user may make no groups here.
    """
    own = _own()
    if own is None:
        return None
    folder = os.path.join(own, f"{_NAME}{os.getpid()}")
    try:
        _sweep(own)
        os.makedirs(folder, exist_ok=True)
        _delegate(own, folder)
        _try_out(folder)
    except OSError:
        remove(folder)
        return None
    return folder


def child(folder: str, name: str, *, memory_bytes: int = 0, tasks: int = 0) -> str:
    """Make the group of one worker.

    Args:
        folder: From ``prepare``.
        name: Unique among the workers that live.
        memory_bytes: Limit, swap included; 0 for none.
        tasks: Most processes and threads at once; 0 for none.

    Returns:
        Its folder, for ``enter``'s plan and for ``remove``.

    Raises:
        OSError: It cannot be made.
    """
    path = os.path.join(folder, name)
    os.makedirs(path, exist_ok=True)
    if memory_bytes:
        _try_write(path, "memory.max", memory_bytes)
        _try_write(path, "memory.swap.max", 0)
        _try_write(path, "memory.oom.group", 1)
    if tasks:
        _try_write(path, "pids.max", tasks)
    return path


def join(path: str) -> list[str]:
    """Move the calling process into a group; all it starts from now on is in it too.

    Returns:
        What the kernel holds now: ``tree``, and ``memory`` and ``processes`` if the group limits them.

    Raises:
        OSError: The kernel refuses.
    """
    _write(path, "cgroup.procs", 0)
    limits = {"memory": "memory.max", "processes": "pids.max"}
    held = [name for name, file in limits.items() if read(path, file) not in ("", "max")]
    return held + (["tree"] if os.path.exists(os.path.join(path, "cgroup.kill")) else [])


def of(pid: int) -> str | None:
    """The folder of the worker's group ``pid`` is in; ``None`` if it is in none of ours."""
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    name = next((line[3:] for line in lines if line.startswith("0::")), "")
    root = _mount_point()
    if root is None or not any(part.startswith(_NAME) for part in name.split("/")[:-1]):
        return None
    path = os.path.join(root[0], os.path.relpath(name, root[1]))
    return path if os.path.isdir(path) else None


def members(path: str) -> list[int]:
    """The processes in a group."""
    return [int(word) for word in read(path, "cgroup.procs").split()]


def kill(path: str) -> bool:
    """End all processes in a group and wait until they have; False if the kernel cannot (before 5.14)."""
    try:
        _write(path, "cgroup.kill", 1)
    except OSError:
        return False
    return _empty(path)


def remove(path: str) -> None:
    """End what is in a group and in the groups below, and remove them all; none there is fine."""
    if not os.path.isdir(path):
        return
    kill(path)
    for below, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(below)
        except OSError:
            continue  # The next engine's sweep finds it.


def ran_out_of_memory(path: str) -> bool:
    """Whether the kernel has ended something in this group for its memory."""
    words = read(path, "memory.events").split()
    return "oom_kill" in words and words[words.index("oom_kill") + 1] != "0"


def read(path: str, file: str) -> str:
    """The text of a control file, without the line's end; empty if there is none."""
    try:
        with open(os.path.join(path, file)) as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _mount_point() -> tuple[str, str] | None:
    """Where version 2 is mounted, and which group is its root there."""
    with open(MOUNTS) as file:
        for line in file:
            left, _, right = line.partition(" - ")
            if right.startswith("cgroup2 "):
                fields = left.split()
                return fields[4], fields[3]
    return None


def _own() -> str | None:
    root = _mount_point()
    with open(MINE) as file:
        name = next((line[3:].strip() for line in file if line.startswith("0::")), None)
    if root is None or name is None:
        return None
    path = os.path.normpath(os.path.join(root[0], os.path.relpath(name, root[1])))
    inside = path == root[0] or path.startswith(root[0].rstrip("/") + "/")
    return path if inside and os.path.isdir(path) else None


def _delegate(own: str, folder: str) -> None:
    """Hand the controllers down; a group with controllers below may hold no processes itself."""
    if members(own) == [os.getpid()]:
        leaf = os.path.join(own, f"{_NAME}engine")
        os.makedirs(leaf, exist_ok=True)
        _write(leaf, "cgroup.procs", 0)
    for path in (own, folder):
        for name in _CONTROLLERS:
            if name in read(path, "cgroup.controllers").split():
                _try_write(path, "cgroup.subtree_control", f"+{name}")


def _try_out(folder: str) -> None:
    """Moving a process needs more rights than making a group does, so really move one."""
    trial = child(folder, "trial")
    pid = os.fork()
    if pid == 0:
        try:
            _write(trial, "cgroup.procs", 0)
        except OSError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    remove(trial)
    if status != 0:
        raise OSError(1, f"{folder}: no process may be moved there")


def _sweep(own: str) -> None:
    for name in os.listdir(own):
        owner = name[len(_NAME) :]
        if name.startswith(_NAME) and owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
            remove(os.path.join(own, name))


def _empty(path: str) -> bool:
    """Wait until a group has no living member; the kernel tells when."""
    deadline = time.monotonic() + _END_S
    with open(os.path.join(path, "cgroup.events")) as stream:
        waiter = select.poll()
        waiter.register(stream, select.POLLPRI)
        while "populated 0" not in stream.read():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            waiter.poll(left * 1000)
            stream.seek(0)
    return True


def _write(path: str, file: str, value: object) -> None:
    handle = os.open(os.path.join(path, file), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, str(value).encode())
    finally:
        os.close(handle)


def _try_write(path: str, file: str, value: object) -> None:
    try:
        _write(path, file, value)
    except OSError:
        return  # The controller is not ours to use; ``join`` tells what is held.
