"""Runs one batch job: the only file of Penstock that a farm node needs.

Standard library only, Python 3.9 or newer, run by its path; it imports nothing of ours. It starts
in the job's folder and is the job's keeper: the function runs in a child of it, so that its end,
however violent, still leaves a ``result.json`` and no process behind::

    job's folder/
      payload.json   the self-sufficient event (or it comes on standard input: --payload -)
      scratch/       where the function writes; ``write.path`` of the event it receives
      result.json    how it ended; written whole, under its final name, and synced

    python -I wrapper.py --code FOLDER --entry FILE.py:ATTRIBUTE [--sdk PACKAGE] [options]
    python -I wrapper.py --code FOLDER [options] -- PROGRAM ARGUMENT ...

Options: ``--payload FILE``, ``--log-bytes N``, ``--file-bytes N``, ``--memory-bytes N``, and ``--confine
MODULE PLAN``: a module with ``fork()`` and ``enter(plan)`` and the JSON of the plan, to which the job's
own folders are added; the module may lie in the SDK's package. A plan that names a module as ``watch``
has it watch over what the kernel does not hold: memory, processes and files of the whole tree.

What the function prints goes to the keeper's standard output, up to ``--log-bytes``. The keeper
exits 0 if the function succeeded, 1 if it failed, and 128 + N if it was ended from outside by
signal N; only then there may be no ``result.json``.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any, NoReturn, TextIO

ANSWER_BYTES_MAX = 64 << 20
"""A longer answer fails the job; large data belong into output files."""
TOO_LONG = f"its answer is longer than {ANSWER_BYTES_MAX} bytes; write large data to an output file"
CHUNK_BYTES = 1 << 16
TAIL_BYTES = 2000
FILES_MAX = 100_000
THREAD_BYTES = 48 << 20
"""What a numeric library reserves per core and hardly uses (stack, buffer)."""
ERROR_CHARACTERS_MAX = 4000
FRAMES_MAX = 8
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that no fault of the function's own raises: somebody or the kernel ended it."""
MEMORY_VARIABLE = "PENSTOCK_JOB_MEMORY_BYTES"
PARENT_VARIABLE = "PENSTOCK_JOB_PARENT"


class Options:
    """What the command line says."""

    def __init__(self, arguments: list[str]) -> None:
        self.code = self.entry = self.sdk = self.confine = self.plan = ""
        self.payload = "payload.json"
        self.command: list[str] = []
        self.log_bytes = 10 << 20
        self.file_bytes = resource.RLIM_INFINITY
        self.memory_bytes = int(os.environ.get(MEMORY_VARIABLE, resource.RLIM_INFINITY))
        self._read(iter(arguments))

    def _read(self, rest: Iterator[str]) -> None:
        for option in rest:
            if option == "--":
                self.command = list(rest)
            elif option == "--confine":
                self.confine, self.plan = _value(option, rest), _value(option, rest)
            elif option in ("--code", "--entry", "--sdk", "--payload"):
                setattr(self, option[2:], _value(option, rest))
            elif option in ("--log-bytes", "--file-bytes", "--memory-bytes"):
                setattr(self, option[2:].replace("-", "_"), int(_value(option, rest)))
            else:
                sys.exit(f"job wrapper: unknown option {option!r}; see the text at the top of {__file__}")
        if bool(self.entry) == bool(self.command):
            sys.exit("job wrapper: give either --entry FILE.py:ATTRIBUTE or -- PROGRAM ARGUMENT ...")


def _value(option: str, rest: Iterator[str]) -> str:
    try:
        return next(rest)
    except StopIteration:
        sys.exit(f"job wrapper: option {option} needs a value")


class Fault(Exception):
    """The function cannot be run, or answered what it may not.

    Attributes:
        retryable: Whether the same job may succeed later.
    """

    def __init__(self, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


def main(arguments: list[str]) -> int:
    """Run the job in the current folder and return the exit code."""
    options = Options(arguments)
    keeper = Keeper(options, os.getcwd())
    keeper.become()
    return keeper.run()


class Keeper:
    """Starts the function's process, copies what it prints, ends its tree, writes the result."""

    def __init__(self, options: Options, folder: str) -> None:
        self.options = options
        self.folder = folder
        self.scratch = os.path.join(folder, "scratch")
        self.answer = bytearray()
        self.last_line = LastLine()
        self.tail = b""
        self.logged = 0
        self.broken: str | None = None
        self.ended_by = 0

    def become(self) -> None:
        """Take the role: own session, reaper of all below, ended with whoever started it.

        The order matters: first the handlers, then the death signal they answer.
        """
        self.bell, ring = os.pipe()
        for end in (self.bell, ring):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._told_to_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        if os.getsid(0) != os.getpid():
            os.setsid()
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        if PARENT_VARIABLE in os.environ:
            end_with_parent(int(os.environ.pop(PARENT_VARIABLE)), signal.SIGTERM)

    def _told_to_end(self, number: int, _frame: object) -> None:
        self.ended_by = self.ended_by or number

    def run(self) -> int:
        """Run the function to its end."""
        started_ns = time.time_ns()
        os.makedirs(self.scratch, exist_ok=True)
        status = self._supervise()
        if self.ended_by:
            return 128 + self.ended_by
        result, error, retryable = self._outcome(status)
        files: list[Any] = []
        try:
            files = list_files(self.scratch) if error is None else []
        except (Fault, OSError) as fault:
            result, error, retryable = None, str(fault), False
        exit_code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        report = {
            "error": error,
            "retryable": retryable,
            "exit_code": exit_code if error is None or exit_code else 1,
            "started_ns": started_ns,
            "ended_ns": time.time_ns(),
            "files": files,
        }
        write_result(self.folder, report, result)
        return 0 if error is None else 128 - exit_code if -exit_code in OUTSIDE else 1

    def _supervise(self) -> int:
        """Return the wait status of the function's process; none of its descendants is left then."""
        payload = self._payload()
        out, out_end = os.pipe()
        err, err_end = os.pipe() if self.options.command else (-1, out_end)
        answer, answer_end = os.pipe()
        sys.stdout.flush()
        beginning = Child(self.options, self.scratch, payload, answer_end, os.getpid())
        child = confinement(self.options).fork() if self.options.confine else os.fork()
        if child == 0:
            beginning.live(out_end, err_end)
        for end in {out_end, err_end, answer_end}:
            os.close(end)
        sinks = {out: self._printed, err: self._complained, answer: self._answered}
        sinks.pop(-1, None)
        watch = watch_over(child, self.options, self.scratch)
        status = self._follow(child, sinks, watch)
        end_descendants()
        for pipe, sink in sinks.items():
            drain(pipe, sink)
        return status

    def _payload(self) -> bytes:
        if self.options.payload == "-":
            return sys.stdin.buffer.read()
        with open(self.options.payload, "rb") as file:
            return file.read()

    def _follow(self, child: int, sinks: dict[int, Any], watch: Any) -> int:
        poll = select.poll()
        poll.register(self.bell, select.POLLIN)
        # For a child that has ended before this: its bell may have been heard by a fork's own wait.
        status = reap(child)
        for pipe in sinks:
            os.set_blocking(pipe, False)
            poll.register(pipe, select.POLLIN)
        while status is None and not self.ended_by and not self.broken:
            deadline = None if watch is None else watch.deadline()
            wait_ms = None if deadline is None else max(0.0, (deadline - time.monotonic()) * 1000 + 1)
            for descriptor, _ in poll.poll(wait_ms):
                if descriptor == self.bell:
                    drain(self.bell, lambda _: None)
                elif not drain(descriptor, sinks[descriptor], chunks=16):
                    poll.unregister(descriptor)
            for breach in watch.sample(time.monotonic()) if watch is not None else ():
                self.broken = self.broken or f"crossed its limit {breach.limit}: {breach.words}"
            status = reap(child)
        return status or 0

    def _printed(self, chunk: bytes) -> None:
        if self.options.command:
            self.last_line.feed(chunk)
        self._log(chunk)

    def _complained(self, chunk: bytes) -> None:
        self._log(chunk)

    def _log(self, chunk: bytes) -> None:
        self.tail = (self.tail + chunk)[-TAIL_BYTES:]
        room = self.options.log_bytes - self.logged
        self.logged += len(chunk)
        try:
            write_all(1, chunk[: max(room, 0)])
        except OSError as error:
            self.broken = self.broken or f"its log could not be written: {error.strerror}"
        if len(chunk) > room:
            self.broken = self.broken or f"printed more than its log limit of {words(self.options.log_bytes)}"

    def _answered(self, chunk: bytes) -> None:
        self.answer += chunk
        if len(self.answer) > ANSWER_BYTES_MAX:
            self.answer.clear()
            self.broken = TOO_LONG

    def _outcome(self, status: int) -> tuple[bytes | None, str | None, bool]:
        """Return answer, error, and whether another try may help."""
        if self.broken:
            return None, self.broken, False
        if os.WIFSIGNALED(status):
            return None, *self._killed(os.WTERMSIG(status))
        if self.answer[:1] == b"E":
            fault = json.loads(bytes(self.answer[1:]))
            return None, fault["error"], fault["retryable"]
        code = os.WEXITSTATUS(status)
        if code:
            return None, self._failed(code), True
        try:
            if self.options.command:
                return parse_answer(self.last_line.text()), None, True
        except Fault as fault:
            return None, str(fault), fault.retryable
        if not self.answer:
            return None, "it ended without an answer", True
        return bytes(self.answer[1:]), None, True

    def _failed(self, code: int) -> str:
        if not self.options.command:
            return f"it ended with exit code {code} instead of answering"
        tail = bytes(self.tail).decode("utf-8", "replace").strip()
        return f"{self.options.command[0]} ended with exit code {code}" + (
            f"; it printed last:\n{tail}" if tail else ""
        )

    def _killed(self, number: int) -> tuple[str, bool]:
        name = signal.Signals(number).name
        if number == signal.SIGXFSZ:
            return f"wrote a file larger than its limit of {words(self.options.file_bytes)}", False
        if number in OUTSIDE:
            return f"its process was ended from outside by {name} (out of memory, or a person?)", True
        return f"its process crashed with {name}", True


class Child:
    """The function's own process."""

    def __init__(self, options: Options, scratch: str, payload: bytes, answer: int, keeper: int) -> None:
        self.options = options
        self.scratch = scratch
        self.payload = payload
        self.answer = answer
        self.keeper = keeper

    def live(self, out: int, err: int) -> NoReturn:
        """Run the function, answer, and exit; never returns into the keeper's code."""
        code = 70
        try:
            os.dup2(out, 1)
            os.dup2(err, 2)
            self._leave_keeper()
            code = self._live()
        except BaseException:
            traceback.print_exc()
        finally:
            flush()
            os._exit(code)

    def _leave_keeper(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        if not self.options.confine:  # which asks for it itself, and may hide the parent's number
            end_with_parent(self.keeper, signal.SIGKILL)
        sys.stdout, sys.stderr = speaker(1), speaker(2)

    def _live(self) -> int:
        try:
            return self._answer()
        except Fault as fault:
            report = {"error": str(fault), "retryable": fault.retryable}
        except OSError as error:
            report = {"error": f"the job cannot be set up: {error}", "retryable": True}
        flush()
        write_all(self.answer, b"E" + json.dumps(report).encode())
        return 1

    def _answer(self) -> int:
        params = self._params()
        self._furnish()
        self._confine()
        if self.options.command:
            self._become_command(params)
        own = os.getpid()
        result = self._call(params)
        flush()
        if os.getpid() != own:
            os._exit(0)  # a fork of the user's that came back out of the function; it has no say
        write_all(self.answer, b"R" + result)
        return 0

    def _furnish(self) -> None:
        """Give it folders of its own, as a warm worker has them, and send libraries there."""
        own = os.path.join(os.path.dirname(self.scratch), "tmp")
        os.makedirs(own, exist_ok=True)
        os.environ.update(TMPDIR=own, XDG_CACHE_HOME=own, MPLCONFIGDIR=own)
        os.chdir(self.options.code or own)
        sys.argv = [self.options.entry]
        sys.dont_write_bytecode = True
        self.own_folders = [self.scratch, own]

    def _params(self) -> dict[str, Any]:
        try:
            params = json.loads(self.payload)
        except ValueError as error:
            raise Fault(f"the job's payload is no JSON: {error}") from error
        if not isinstance(params, dict):
            raise Fault(f"the job's payload is no JSON object but {type(params).__name__}")
        params["write"] = {**(params.get("write") or {}), **place(self.scratch + "/")}
        return params

    def _confine(self) -> None:
        """Take on the limits; the kernel keeps them from here on, for this process and all it starts."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for kind, wanted in (
            (resource.RLIMIT_FSIZE, self.options.file_bytes),
            (resource.RLIMIT_DATA, self._data_bytes()),
        ):
            hard = resource.getrlimit(kind)[1]
            limit = wanted if hard == resource.RLIM_INFINITY else min(wanted % (1 << 63), hard)
            resource.setrlimit(kind, (limit, limit))
        if self.options.confine:
            plan = json.loads(self.options.plan)
            plan["read"] = [*plan.get("read", ()), self.options.code]
            plan["write"] = [*plan.get("write", ()), *self.own_folders]
            confinement(self.options).enter(plan)

    def _data_bytes(self) -> int:
        """Return the memory limit as the kernel counts; what threads reserve is not held against it."""
        wanted = self.options.memory_bytes
        return wanted if wanted == resource.RLIM_INFINITY else wanted + THREAD_BYTES * (os.cpu_count() or 1)

    def _call(self, params: dict[str, Any]) -> bytes:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = self.options.code
        call = register_sdk(self.options.sdk).Call(params) if self.options.sdk else params
        function = find(code, self.options.entry)
        try:
            answer = function(call)
            if hasattr(answer, "send") and hasattr(answer, "cr_frame"):
                from asyncio import run  # only here: it is slow to import, and few functions need it

                answer = run(answer)
        except MemoryError as error:
            limit = f"its limit is {words(self.options.memory_bytes)}; ask for more memory"
            raise Fault(f"out of memory: {explain(error, code)}\n{limit}") from error
        except BaseException as error:  # the outermost frame of the user's code
            traceback.print_exc()
            raise Fault(explain(error, code), retryable=True) from error
        return encode(answer)

    def _become_command(self, params: dict[str, Any]) -> NoReturn:
        """Turn into the program, which finds the JSON object on its standard input."""
        stdin = os.memfd_create("payload")
        write_all(stdin, json.dumps(params).encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        os.dup2(stdin, 0)
        os.environ.update(variables(params))
        program, *arguments = self.options.command
        path = os.path.join(self.options.code, program) if "/" in program else program
        try:
            os.execvp(path, [path, *arguments])  # noqa: S606 - no shell wanted
        except OSError as error:
            words = f"cannot start {path}: {error.strerror}; is it installed and executable?"
            raise Fault(words) from error


class LastLine:
    """Remembers the last line with anything on it, however the text is cut into chunks."""

    def __init__(self) -> None:
        self._whole = b""
        self._open = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk."""
        *done, rest = chunk.split(b"\n")
        for line in done:
            self._open += line
            if self._open.strip():
                self._whole = bytes(self._open)
            self._open.clear()
        self._open += rest

    def text(self) -> bytes:
        """Return the line, stripped."""
        return bytes(self._open).strip() or self._whole.strip()


def find(code: str, entry: str) -> Any:
    """Import ``FILE.py:ATTRIBUTE`` from the code folder and return the attribute.

    As in a warm worker: the file's folder comes first on ``sys.path``, and the module is called like
    the file unless that name is taken (a file ``json.py``, say).
    """
    name, _, attribute = entry.rpartition(":")
    path = os.path.realpath(os.path.join(code, name))
    if not os.path.isfile(path):
        raise Fault(f"{path} is missing; deploy the function again")
    sys.path.insert(0, os.path.dirname(path))
    try:
        module = load(module_name(path), path)
    except BaseException as error:  # SystemExit too: a script without a main guard
        traceback.print_exc()
        raise Fault(
            f"cannot import {name}: {explain(error, code)}\ncorrect it and deploy it again"
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise Fault(f"{name} has no function {attribute!r}; deploy it again")
    return function


def module_name(path: str) -> str:
    """Return what the user's file is called as a module."""
    stem = os.path.splitext(os.path.basename(path))[0]
    name = "".join(letter if letter.isalnum() else "_" for letter in stem)
    taken = name in sys.modules or name in getattr(sys, "stdlib_module_names", ())
    return f"_{name}" if taken or not name.isidentifier() else name


def load(name: str, path: str, folder: str | None = None) -> ModuleType:
    """Import the file at ``path`` as ``name``; as a package if its ``folder`` is given."""
    from importlib import util  # only here: the keeper itself starts faster without it

    spec = util.spec_from_file_location(name, path, submodule_search_locations=[folder] if folder else None)
    if spec is None or spec.loader is None:
        raise Fault(f"{path} is no Python file")
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def register_sdk(package: str) -> Any:
    """Make ``from penstock import function`` work by path, and return that package."""
    if "penstock" not in sys.modules:
        try:
            load("penstock", os.path.join(package, "__init__.py"), package)
        except (OSError, TypeError, SyntaxError) as error:
            version = ".".join(map(str, sys.version_info[:2]))
            raise Fault(
                f"Penstock's SDK in {package} cannot be imported by Python {version}: {error}"
            ) from error
    return sys.modules["penstock"]


def confinement(options: Options) -> Any:
    """Import the module that confines the function's process."""
    if options.sdk:
        register_sdk(options.sdk)
    from importlib import import_module

    return import_module(options.confine)


def watch_over(child: int, options: Options, scratch: str) -> Any:
    """Return a watch over the job's process tree for what the kernel does not hold; None if there is none.

    The plan names the module, as ``watch``; it holds ``memory_bytes``, ``processes`` and ``file_bytes``.
    """
    plan = json.loads(options.plan) if options.plan else {}
    if not plan.get("watch"):
        return None
    from importlib import import_module

    watch = import_module(plan["watch"]).Watch()
    limits = {name: plan.get(name) for name in ("memory_bytes", "processes", "file_bytes")}
    watch.begin(child, {**limits, "scratch": [scratch], "tree": True})
    return watch


def parse_answer(line: bytes) -> bytes:
    """Return the JSON object on a program's last line; anything else is just output."""
    try:
        answer = json.loads(line)
    except ValueError:
        return b"{}"
    return encode(answer) if isinstance(answer, dict) else b"{}"


def encode(answer: Any) -> bytes:
    """Return a function's answer as strict JSON in UTF-8: no NaN, no halves of characters."""
    if answer is None:
        return b"{}"
    if not isinstance(answer, dict):
        raise Fault(f"it answered a {type(answer).__name__} ({ascii(answer)[:60]}); answer a dict, or None")
    try:
        text = json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain)
        encoded = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Fault(f"its answer is not JSON: {error}") from None
    if len(encoded) > ANSWER_BYTES_MAX:
        raise Fault(TOO_LONG)
    return encoded


def plain(value: Any) -> Any:
    """Return the plain number that a NumPy scalar is: what a scientist's ``sum()`` gives."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        return value.item()
    raise TypeError(f"a {type(value).__name__} ({ascii(value)[:60]}) is not JSON")


def explain(error: BaseException, code: str) -> str:
    """Return what was raised and the frames of the user's own files that led there, innermost last."""
    lines = "".join(traceback.format_exception_only(type(error), error)).strip()
    inside = os.path.join(os.path.realpath(code), "")
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(inside)
    ]
    places = [f"  {f.filename[len(inside) :]}:{f.lineno} in {f.name}: {f.line}" for f in frames[-FRAMES_MAX:]]
    text = "\n".join([lines[:ERROR_CHARACTERS_MAX], *places])[: 2 * ERROR_CHARACTERS_MAX]
    return text.encode(errors="backslashreplace").decode()


def variables(params: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables that spare a shell script the parsing of JSON."""
    run = params.get("run") or {}
    values = {
        "PENSTOCK_INPUT": path_of(params.get("read") or {}),
        "PENSTOCK_OUTPUT_DIR": path_of(params["write"]),
        "PENSTOCK_FUNCTION": (params.get("exec") or {}).get("function", ""),
        "PENSTOCK_RUN": run.get("id", ""),
        "PENSTOCK_STEP": run.get("step", ""),
        "PENSTOCK_ATTEMPT": run.get("attempt", ""),
        "PENSTOCK_IDEMPOTENCY_KEY": run.get("idempotency_key", ""),
    }
    if "item" in params:
        values["PENSTOCK_ITEM"] = json.dumps(params["item"])
    return {name: str(value) for name, value in values.items()}


def flush() -> None:
    """Write out what was printed, whatever the function did to the streams."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.flush()


def write_result(folder: str, report: dict[str, Any], result: bytes | None) -> None:
    """Write ``result.json`` whole or not at all, and return once it is on disk."""
    document = json.dumps(report)[:-1].encode() + b',"result":' + (result or b"null") + b"}\n"
    path = os.path.join(folder, "result.json")
    own = f"{path}.{os.getpid()}"
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(descriptor, document)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(own, path)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def list_files(folder: str) -> list[Any]:
    """Return the relative paths of all files below, sorted; names that are not UTF-8 as ``path_raw``."""
    found: list[str] = []
    rest = [""]
    while rest:
        below = rest.pop()
        with os.scandir(os.path.join(folder, below)) as entries:
            for entry in entries:
                name = below + entry.name
                if entry.is_dir(follow_symlinks=False):
                    rest.append(f"{name}/")
                elif entry.is_file(follow_symlinks=False):
                    found.append(name)
                else:
                    raise Fault(f"output {name!a} is a link, pipe or device; write plain files")
        if len(found) > FILES_MAX:
            raise Fault(f"it wrote more than {FILES_MAX} files; put them into one archive")
    return [path if printable(path) else place(path) for path in sorted(found, key=os.fsencode)]


def path_of(place: dict[str, Any]) -> str:
    """Return the path of a place of the self-sufficient event."""
    if "path_raw" not in place:
        return str(place.get("path", ""))
    from base64 import b64decode

    return os.fsdecode(b64decode(place["path_raw"]))


def place(path: str) -> dict[str, str]:
    """Return ``path`` as a place of the self-sufficient event: bytes in base64 where they are not UTF-8."""
    if printable(path):
        return {"path": path}
    from base64 import b64encode

    return {
        "path": os.fsencode(path).decode(errors="replace"),
        "path_raw": b64encode(os.fsencode(path)).decode(),
    }


def printable(path: str) -> bool:
    """Tell whether the path's bytes are UTF-8."""
    try:
        return bool(path.encode())
    except UnicodeEncodeError:
        return False


def drain(pipe: int, sink: Any, chunks: int = 1 << 30) -> bool:
    """Hand what is in the pipe to ``sink``, at most ``chunks`` reads; False at its end."""
    for _ in range(chunks):
        try:
            chunk = os.read(pipe, CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        sink(chunk)
    return True


def speaker(descriptor: int) -> TextIO:
    """Return a text stream whose lines are written as they come, whatever characters they hold."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def reap(child: int) -> int | None:
    """Collect whatever ended; return the wait status of ``child`` if it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def end_descendants() -> None:
    """Kill and collect every process below this one; return when there is none.

    They are all stopped first, so that none can fork away meanwhile; as this process is the reaper
    of all below it, nothing leaves the tree by losing its parent or by starting a session.
    """
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            continue
        frozen: set[int] = set()
        while fresh := descendants(os.getpid()) - frozen:
            for pid in fresh:
                send(pid, signal.SIGSTOP)
            frozen |= fresh
        for pid in frozen:
            send(pid, signal.SIGKILL)
        os.waitpid(-1, 0)


def descendants(root: int) -> set[int]:
    """Return the ids of all living processes below ``root``."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(parent_of(name), []).append(int(name))
    found: set[int] = set()
    rest = [root]
    while rest:
        below = children.get(rest.pop(), [])
        found.update(below)
        rest += below
    return found


def parent_of(pid: str) -> int:
    """Return the parent's id; 0 if the process is gone or only waits to be collected."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state in b"ZX" else int(parent)


def send(pid: int, number: int) -> None:
    """Send a signal; a process that is gone is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def end_with_parent(parent: int, number: int) -> None:
    """Ask the kernel for signal ``number`` when ``parent`` dies; if it is dead already, raise it now."""
    prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def prctl(option: int, value: int) -> None:
    """Set a process attribute; where there is no prctl, the caller's other means must do."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
    except (OSError, AttributeError):
        return


def words(size: int) -> str:
    """Return a size for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:g} {unit}"
        size = size / 1024 if size % 1024 else size // 1024  # type: ignore[assignment]
    raise AssertionError


if __name__ == "__main__":
    sys.path[:] = [folder for folder in sys.path if folder != os.path.dirname(os.path.abspath(__file__))]
    sys.exit(main(sys.argv[1:]))
