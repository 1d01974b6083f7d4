"""Names of published outputs: a template with ``{variables}``, rendered to a path below the storage's root.

========== =====================================================================
root       the storage's root folder
parent     the input's folder
relative   the input's folder seen from the root (empty for a file in the root itself)
stem       the input's name without its last suffix
suffix     that suffix with its dot, or nothing
name       what the function called the output; may have folders of its own
function   the function's name, without namespace and version
run        id of the run
generation how often this input's content has changed, from 1
========== =====================================================================

``{{`` and ``}}`` stand for braces. A result that does not begin with ``/`` lies below the root.
"""

from __future__ import annotations

import re
from posixpath import normpath

from penstock.core.errors import Invalid

DEFAULT = "{parent}/derived/{stem}.{name}"
VARIABLES = ("root", "parent", "relative", "stem", "suffix", "name", "function", "run", "generation")
TEMPLATE_CHARACTERS_MAX = 1024
NAME_BYTES_MAX = 255
PATH_BYTES_MAX = 4095
_PART = re.compile(rb"\{\{|\}\}|\{([a-z]+)\}")
_STRAY = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|([{}])")


def check(template: str) -> str:
    """Return ``template`` if every variable in it is known.

    Raises:
        Invalid: It is empty, too long, or has unknown variables or unpaired braces; all are named.
    """
    faults = _faults(template)
    if faults:
        raise Invalid(f"output template {template!r}: " + "; ".join(faults))
    return template


def _faults(template: str) -> list[str]:
    if not template.strip() or "\0" in template:
        return [f"expected a path with variables, such as {DEFAULT!r}"]
    if len(template) > TEMPLATE_CHARACTERS_MAX:
        return [f"it has {len(template)} characters, {TEMPLATE_CHARACTERS_MAX} are allowed"]
    faults = []
    for match in _STRAY.finditer(template):
        if match[1] is not None and match[1] not in VARIABLES:
            known = ", ".join(f"{{{name}}}" for name in VARIABLES)
            faults.append(f"unknown variable {{{match[1]}}}; known are {known}")
        if match[2] is not None:
            faults.append(f"unpaired {match[2]!r} at character {match.start() + 1}; write '{match[2] * 2}'")
    return faults


def render(
    template: str,
    *,
    subject: bytes,
    root: bytes,
    name: str,
    function: str,
    run: str,
    generation: int,
) -> bytes:
    """Return the path that the output ``name`` is published under: absolute, normalised, below ``root``.

    Args:
        template: One that ``check`` has accepted.
        subject: Absolute path of the input; odd bytes are kept.
        root: Absolute path of the storage's root.
        name: The output's relative name, undecodable bytes as surrogates.
        function: Reference or name of the function.
        run: Id of the run.
        generation: Of the input, from 1.

    Raises:
        Invalid: The path would leave ``root``, be ``root`` or the input itself, or be too long.
    """
    parent, _, base = subject.rpartition(b"/")
    stem, suffix = _split(base)
    values = {
        b"root": root,
        b"parent": parent or b"/",
        b"relative": _relative(parent, root),
        b"stem": stem,
        b"suffix": suffix,
        b"name": _bytes(name),
        b"function": _bytes(function.rsplit("/", 1)[-1].partition("@")[0]),
        b"run": _bytes(run),
        b"generation": b"%d" % generation,
    }

    def value(match: re.Match[bytes]) -> bytes:
        return values[match[1]] if match[1] else match[0][:1]

    rendered = _PART.sub(value, _bytes(template))
    if not rendered.startswith(b"/"):
        rendered = root + b"/" + rendered
    return _confined(_normal(rendered), _normal(root), subject, name)


def _confined(path: bytes, root: bytes, subject: bytes, name: str) -> bytes:
    shown = path.decode("utf-8", "backslashreplace")
    below = root.rstrip(b"/") + b"/"
    if not path.startswith(below) or path == below or b"\0" in path:
        raise Invalid(
            f"output {name!r} would be published at {shown!r}, which is not below the storage's root "
            f"{root.decode('utf-8', 'backslashreplace')!r}; change the output's name or the template"
        )
    if path == _normal(subject):
        raise Invalid(
            f"output {name!r} would replace its own input {shown!r}; change the output's name or the template"
        )
    longest = max(len(part) for part in path.split(b"/"))
    if longest > NAME_BYTES_MAX or len(path) > PATH_BYTES_MAX:
        raise Invalid(
            f"output {name!r} would get a name of {longest} bytes in a path of {len(path)}; "
            f"{NAME_BYTES_MAX} and {PATH_BYTES_MAX} are allowed: {shown[:120]!r}…"
        )
    return path


def _split(base: bytes) -> tuple[bytes, bytes]:
    stem, dot, suffix = base.rpartition(b".")
    # A leading dot hides a file; it begins no suffix.
    return (stem, dot + suffix) if stem.strip(b".") else (base, b"")


def _relative(parent: bytes, root: bytes) -> bytes:
    parent, root = _normal(parent), _normal(root)
    if parent == root:
        return b""
    below = root.rstrip(b"/") + b"/"
    return parent[len(below) :] if parent.startswith(below) else parent.lstrip(b"/")


def _normal(path: bytes) -> bytes:
    return b"/" + normpath(path or b"/").lstrip(b"/")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
