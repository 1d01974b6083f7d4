"""Secrets by reference: settings name where one is kept, never the secret itself."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from penstock.core.errors import Invalid, Unavailable

SECRET_BYTES_MAX = 1 << 16


class Secret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a secret is kept: exactly one of the two.

    Attributes:
        file: Absolute path of a file that holds it, read at each use, so that it may be replaced.
        env: Name of an environment variable that holds it.
    """

    file: str | None = None
    env: str | None = None

    def __post_init__(self) -> None:
        """Refuse what names no place, or two."""
        if (self.file is None) == (self.env is None):
            raise ValueError('a secret is either { file = "/path" } or { env = "NAME" }')
        if self.file is not None and not os.path.isabs(self.file):
            raise ValueError(f"the secret's file {self.file!r} must be an absolute path")

    def read(self) -> str:
        """Return the secret, without the line end behind it.

        Raises:
            Invalid: The variable is not set, or what is there is no text.
            Unavailable: The file cannot be read now.
        """
        if self.env is not None:
            value = os.environ.get(self.env)
            if not value:
                raise Invalid(f"the secret in the environment variable {self.env} is not set")
            return value
        assert self.file is not None
        try:
            with Path(self.file).open("rb") as file:
                value = file.read(SECRET_BYTES_MAX).decode().rstrip("\r\n")
        except OSError as error:
            why = error.strerror or str(error)
            raise Unavailable(f"the secret in {self.file} cannot be read: {why}", 10.0) from error
        except UnicodeDecodeError as error:
            raise Invalid(f"the secret in {self.file} is no UTF-8 text") from error
        if not value:
            raise Invalid(f"the secret in {self.file} is empty")
        return value
