"""Trees of storages: where something was lost, what is compared next, what was proven when. No waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from penstock.core.errors import Refused
from penstock.core.rows import TreeRow

TREES_MAX = 1000
"""Most trees of one storage that are told apart; then a loss counts for the folder above."""
Key = tuple[str, bytes]


class Trees:
    """The trees of an installation, by storage and folder.

    Args:
        rows: What was known before.
        put: Told of each row that changes.

    Attributes:
        rows: All of them.
    """

    def __init__(self, rows: Iterable[TreeRow], put: Callable[[TreeRow], None]) -> None:
        self.rows: dict[Key, TreeRow] = {(row.storage, row.folder): row for row in rows}
        self._put = put
        self._under_way: dict[Key, int] = {}
        self._hopeless: set[Key] = set()

    def watched(self, storage: str, folder: bytes, since_ns: int) -> None:
        """Note a tree that is a storage's business, if it is new: what is older was there before."""
        key = (storage, _normal(folder))
        row = self.rows.get(key) or TreeRow(storage=storage, folder=key[1])
        if not row.since_ns:
            self.keep(replace(row, since_ns=since_ns))

    def is_watched(self, storage: str) -> bool:
        """Whether any tree of a storage is known."""
        return any(row.since_ns for row in self.rows.values() if row.storage == storage)

    def within(self, storage: str, folder: bytes, trees: Sequence[bytes] = ()) -> list[bytes]:
        """Return what is to be listed for a folder: itself, or the trees of its storage that are in it.

        Args:
            storage: The storage.
            folder: The folder.
            trees: Those of the storage; default: the known ones.

        Raises:
            Refused: It is in no tree, and no tree is in it.
        """
        known = [_normal(tree) for tree in trees] or [
            row.folder for row in self.rows.values() if row.storage == storage and row.since_ns
        ]
        folder = _normal(folder)
        if any(tree in _upwards(folder) for tree in known):
            return [folder]
        inside = [tree for tree in known if folder in _upwards(tree)]
        if not inside:
            shown = ", ".join(sorted(tree.decode("utf-8", "replace") for tree in known)) or "nothing"
            raise Refused(f"{folder.decode('utf-8', 'replace')!r} is not listed: of {storage!r} is {shown}")
        return sorted(inside)

    def since(self, storage: str, folder: bytes) -> int:
        """Return since when we ask for events of a folder; 0 if that is not known."""
        rows = (self.rows.get((storage, above)) for above in _upwards(_normal(folder)))
        return next((row.since_ns for row in rows if row is not None and row.since_ns), 0)

    def lost(self, storage: str, folder: bytes, reason: str, at_ns: int) -> TreeRow:
        """Open a tree, or the open one that it is part of, and return it."""
        folder = _normal(folder)
        for above in _upwards(folder):
            row = self.rows.get((storage, above))
            if row is not None and row.lost_ns and (storage, above) not in self._under_way:
                return self._again(replace(row, reason=reason, trouble=""))
        folder = self._known_above(storage, folder)
        row = self.rows.get((storage, folder)) or TreeRow(storage=storage, folder=folder)
        return self._again(replace(row, lost_ns=at_ns, reason=reason, trouble=""))

    def _again(self, row: TreeRow) -> TreeRow:
        self._hopeless.discard((row.storage, row.folder))
        self.keep(row)
        return row

    def _known_above(self, storage: str, folder: bytes) -> bytes:
        """Return the folder, or one above it where too many are told apart already."""
        if (storage, folder) in self.rows or sum(name == storage for name, _ in self.rows) < TREES_MAX:
            return folder
        return next((above for above in _upwards(folder) if (storage, above) in self.rows), b"/")

    def next(self, storage: str) -> TreeRow | None:
        """Return the tree that is to be compared next, the one that contains others first; None if none."""
        waiting = {
            row.folder: row
            for key, row in self.rows.items()
            if row.storage == storage and row.lost_ns and key not in self._hopeless
        }
        tops = [
            row
            for folder, row in waiting.items()
            if not any(above in waiting for above in _upwards(folder) if above != folder)
        ]
        return min(tops, key=lambda row: row.lost_ns, default=None)

    def begun(self, row: TreeRow, at_ns: int) -> None:
        """Note that a tree is being compared: what is lost from now on has to be compared again."""
        self._under_way[row.storage, row.folder] = at_ns

    def progress(self, storage: str, folder: bytes, listed: int, created: int, deleted: int) -> None:
        """Note how far a comparison is."""
        row = self.rows[storage, folder]
        self.keep(replace(row, listed=listed, created=created, deleted=deleted))

    def failed(self, storage: str, folder: bytes, words: str, *, hopeless: bool) -> None:
        """Note that a comparison did not get to its end; a hopeless one waits for another word."""
        self._under_way.pop((storage, folder), None)
        if hopeless:
            self._hopeless.add((storage, folder))
        self.keep(replace(self.rows[storage, folder], trouble=words))

    def proven(
        self, storage: str, folder: bytes, begun_ns: int, by: str, listed: int, created: int, deleted: int
    ) -> TreeRow:
        """Note that all that happened in a tree before ``begun_ns`` was told."""
        folder = _normal(folder)
        self._under_way.pop((storage, folder), None)
        row = self.rows.get((storage, folder)) or TreeRow(storage=storage, folder=folder)
        done = _proven(replace(row, by=by, listed=listed, created=created, deleted=deleted), begun_ns)
        self.keep(done)
        for key, other in list(self.rows.items()):
            if key[0] == storage and folder in _upwards(key[1]) and other.lost_ns and other is not done:
                self.keep(_proven(other, begun_ns))
        return done

    def adopt(self, rows: Iterable[TreeRow]) -> bool:
        """Take in what others opened; return whether there was anything."""
        fresh = [row for row in rows if row.lost_ns > self._lost_ns(row)]
        for row in fresh:
            self.rows[row.storage, row.folder] = row
            self._hopeless.discard((row.storage, row.folder))
        return bool(fresh)

    def _lost_ns(self, row: TreeRow) -> int:
        known = self.rows.get((row.storage, row.folder))
        return 0 if known is None else max(known.lost_ns, known.proven_ns)

    def keep(self, row: TreeRow) -> None:
        """Remember a row."""
        self.rows[row.storage, row.folder] = row
        self._put(row)


def _proven(row: TreeRow, begun_ns: int) -> TreeRow:
    lost_ns = row.lost_ns if row.lost_ns > begun_ns else 0
    return replace(row, proven_ns=max(row.proven_ns, begun_ns), lost_ns=lost_ns, trouble="")


def _normal(folder: bytes) -> bytes:
    return folder.rstrip(b"/") or b"/"


def _upwards(folder: bytes) -> Iterator[bytes]:
    """Yield a folder and all above it, nearest first."""
    while folder not in (b"/", b""):
        yield folder
        folder = folder.rpartition(b"/")[0]
    yield b"/"
