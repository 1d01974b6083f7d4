"""The namespace calls of a simulated frontend."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
from aiohttp import web

from penstock.testing.dcache.answers import Refusal, json_answer
from penstock.testing.dcache.namespace import Entry, Namespace


class NamespaceCalls:
    """Answers ``/namespace`` and ``/id``.

    Args:
        namespace: The tree.
        root: Folder of it that users see as ``/``.
    """

    def __init__(self, namespace: Namespace, root: str) -> None:
        self.namespace = namespace
        self._root = root

    async def answer(self, request: web.Request, raw: str, query: str) -> web.Response:
        """Answer a call about a path."""
        path = self.inside(unquote(raw))
        entry = self.namespace.find(path)
        if entry is None:
            raise Refusal(404, f"No such file or directory: {unquote(raw)}")
        if request.method == "GET":
            return json_answer(self._described(entry, parse_qs(query)))
        if request.method == "DELETE":
            return self._change(lambda: self.namespace.remove(path), 200)
        wish = msgspec.json.decode(await request.read())
        if wish.get("action") == "mkdir":
            return self._change(lambda: self.namespace.make_folder(posixpath.join(path, wish["name"])), 201)
        if wish.get("action") == "mv":
            target = wish["destination"]
            new = (
                self.inside(target)
                if target.startswith("/")
                else posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            )
            return self._change(lambda: self.namespace.move(path, new), 201)
        raise Refusal(400, f"Unknown action: {wish.get('action')}")

    def _change(self, change: Callable[[], Entry], status: int) -> web.Response:
        try:
            change()
        except OSError as error:
            raise Refusal(400, str(error)) from error
        return json_answer({"status": "success"}, status)

    def by_id(self, pnfsid: str, query: str, *, admin: bool) -> web.Response:
        """Answer a call about a pnfsid."""
        if not admin:
            raise Refusal(403, "Permission denied")
        entry = self.namespace.by_id(pnfsid)
        if entry is None:
            raise Refusal(404, "No such file or directory")
        return json_answer({**_attributes(entry, parse_qs(query)), "path": entry.path})

    def _described(self, entry: Entry, query: dict[str, list[str]]) -> dict[str, Any]:
        said = _attributes(entry, query)
        if query.get("children") == ["true"] and entry.is_folder:
            first = int(query.get("offset", ["0"])[0])
            children = list(entry.children.values())[first:]
            if "limit" in query:
                children = children[: int(query["limit"][0])]
            said["children"] = [{**_attributes(each, query), "fileName": each.name} for each in children]
        return said

    def inside(self, path: str) -> str:
        """Return where a path of a user is in the namespace."""
        return posixpath.normpath(posixpath.join(self._root, path.lstrip("/")))


def _attributes(entry: Entry, query: dict[str, list[str]]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "fileMimeType": "application/vnd.dcache.folder" if entry.is_folder else "application/octet-stream",
        "fileType": entry.kind,
        "pnfsId": entry.pnfsid,
        "nlink": 1,
        "mtime": entry.mtime_ms,
        "creationTime": entry.created_ms,
        "mode": 493 if entry.is_folder else 420,
        "size": 512 if entry.is_folder else entry.size,
    }
    if query.get("locality") == ["true"]:
        said["fileLocality"] = entry.locality
    if query.get("checksum") == ["true"] and entry.checksum:
        said["checksums"] = [{"type": "ADLER32", "value": entry.checksum}]
    if query.get("optional") == ["true"]:
        said |= {"owner": entry.owner, "group": entry.group}
    return said
