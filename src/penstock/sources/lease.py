"""Is a file open for writing? The kernel knows: it grants a read lease only when nobody writes.

See fcntl(2), "Leases". Granted for the file's owner and for CAP_LEASE. The lease is given back at
once; a writer who opens the file in those microseconds waits for them (with ``O_NONBLOCK`` he is told
to try again). The signal that a broken lease sends is set to SIGURG, which by default does nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
from enum import Enum
from signal import SIGURG

_F_SETSIG = 10
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


class Writers(Enum):
    """Whether somebody has a file open for writing."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"
    """We may not know: the file is another user's, or its file system has no leases."""


def writers(path: bytes) -> Writers:
    """Return whether ``path``, a regular file, is open for writing anywhere on this machine.

    Raises:
        FileNotFoundError: It is gone.
    """
    try:
        fd = os.open(path, _OPEN)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(*error.args) from error
    except OSError as error:
        # Somebody else holds a write lease (Samba does): he writes, or may.
        return Writers.SOME if error.errno == errno.EAGAIN else Writers.UNKNOWN
    try:
        fcntl.fcntl(fd, _F_SETSIG, SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return Writers.SOME if error.errno in (errno.EAGAIN, errno.EBUSY) else Writers.UNKNOWN
    else:
        return Writers.NONE
    finally:
        os.close(fd)
