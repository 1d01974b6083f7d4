"""One tree of errors, ordered by what the caller should do.

    PenstockError
      Refused       change the request     Unauthenticated Forbidden NotFound Conflict Invalid
      Unavailable   wait, try again        Timeout ConnectionLost Throttled   (carry retry_after_s)
      Failed        look at it; no retry   FunctionFailed JobFailed TransferFailed Superseded Fenced
      Broken        stop; our promise is broken (a bug, a damaged log)

The command line turns them into exit codes, the HTTP API into problem+json (RFC 9457).
A message names the thing, what was expected and what to do.
"""

from __future__ import annotations


class PenstockError(Exception):
    """Anything Penstock says is wrong.

    Attributes:
        exit_code: What the command line exits with.
        status: What the HTTP API answers with.
    """

    exit_code = 1
    status = 500


class Refused(PenstockError):
    """The request cannot be granted as it is; changing it may help."""

    exit_code = 3
    status = 400


class Invalid(Refused):
    """The request or document is malformed.

    Attributes:
        faults: Every fault found, each naming its place; never only the first.
    """

    status = 422

    def __init__(self, message: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__("\n  ".join((message, *faults)))
        self.faults = faults


class Unauthenticated(Refused):
    """We do not know who asks."""

    status = 401


class Forbidden(Refused):
    """We know who asks, and they may not."""

    status = 403


class NotFound(Refused):
    """No such thing, or none the caller may see."""

    status = 404


class Conflict(Refused):
    """It exists already, or changed meanwhile."""

    status = 409


class Trimmed(Refused):
    """The log no longer holds this position.

    Attributes:
        first: The oldest position left, as a cursor's text.
    """

    status = 410

    def __init__(self, message: str, first: str) -> None:
        super().__init__(message)
        self.first = first


class Unavailable(PenstockError):
    """Not now. Wait ``retry_after_s`` seconds and try again."""

    exit_code = 4
    status = 503

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Timeout(Unavailable):
    """No answer in time."""

    status = 504


class ConnectionLost(Unavailable):
    """The other side went away."""


class Throttled(Unavailable):
    """A limit is reached; the limit is named in the message."""

    status = 429


class Failed(PenstockError):
    """It was tried and failed; trying the same again will not help by itself."""

    exit_code = 1
    status = 500


class FunctionFailed(Failed):
    """A user's function raised, was stopped by a limit, or answered what it may not."""


class JobFailed(Failed):
    """A batch job ended without a result."""


class Superseded(Failed):
    """The input has changed since the event; the newer content has its own event and run."""


class TransferFailed(Failed):
    """Bytes did not arrive whole."""


class Fenced(Failed):
    """Another process owns this partition now. Nothing was written; stop working on it at once."""


class Broken(PenstockError):
    """Our own promise is broken: a bug or a damaged log. Stop and look."""

    exit_code = 70
    status = 500
