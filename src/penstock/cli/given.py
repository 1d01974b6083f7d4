"""The event for a file that a person names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from penstock.cli.session import Session
from penstock.core.errors import Invalid
from penstock.core.event import content_id, encode
from penstock.functions.local_event import event_for
from penstock.server.settings import StorageSettings


def event_of(the: Session, file: Path) -> dict[str, Any]:
    """Return the newest event about a file; if there is none, one as its storage would make.

    Raises:
        Invalid: The file is in no storage, so that functions may not read it.
    """
    path = file.absolute()
    known = the.client.explain(path)["event"]
    if known is not None and isinstance(known["event"].get("data"), dict):
        return dict(known["event"])
    storage = _storage(the, path)
    event: dict[str, Any] = json.loads(encode(event_for(path)))
    event["id"] = content_id(storage.name, os.fsencode(path), "1")
    event["source"] = f"/storages/{storage.name}"
    event["data"]["storage"] = storage.name
    return event


def _storage(the: Session, path: Path) -> StorageSettings:
    real = Path(os.path.realpath(path))
    for storage in the.settings.storages:
        if Path(os.path.realpath(storage.folder)) in real.parents:
            return storage
    folders = ", ".join(storage.folder for storage in the.settings.storages) or "none"
    raise Invalid(f"{path} is in no storage folder ({folders}); functions may read only those. Copy it there")
