"""Which paths that a filter names lie in no storage, so that nothing can ever match them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.core.filter import All, Any, Exact, Filter, Glob, Prefix
from penstock.core.filter.glob import shape_of, tokens

PATH_FIELDS = ("path", "subject")


def out_of_reach(filter: Filter, roots: Sequence[str]) -> Iterator[str]:
    """Yield each absolute path, or beginning or glob of such, that is in none of the folders ``roots``.

    Patterns that may begin at any folder are within reach.
    """
    match filter:
        case All(parts) | Any(parts):
            for part in parts:
                yield from out_of_reach(part, roots)
        case Glob(field, pattern) if field in PATH_FIELDS and pattern.startswith("/"):
            if not _is_near(shape_of(tokens(pattern)).prefix, roots):
                yield pattern
        case Exact(field, text) | Prefix(field, text) if field in PATH_FIELDS and text.startswith("/"):
            if not _is_near(text, roots):
                yield text


def _is_near(start: str, roots: Sequence[str]) -> bool:
    """Whether a path that begins like this can be below one of the roots."""
    return any(start.startswith(f"{root.rstrip('/')}/") or f"{root}/".startswith(start) for root in roots)
