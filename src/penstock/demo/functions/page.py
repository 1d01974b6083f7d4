"""One page for each scan: picture, curve, checks and where everything comes from.

The page is one file without any outside request: pictures and style are inside it.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from document import DOCUMENT
from plot import plot

from penstock import function

SIGNS = {"pass": "✓", "notice": "!", "fail": "✕"}
WORDS = {"pass": "Passed", "notice": "Notice", "fail": "Failed"}

Found = dict[str, Any]


@function(outputs="{root}/derived/{stem}/{name}", timeout_s=60, memory="512MiB")
def page(call: Any) -> dict[str, Any]:
    """Write ``index.html``: all that is known about one scan."""
    metadata, preview, reduced = (call.results[step] for step in ("metadata", "preview", "reduce"))
    checks = [*metadata["checks"], *reduced["checks"], _unchanged(call, metadata)]
    checks.sort(key=lambda check: ("fail", "notice", "pass").index(check["verdict"]))
    body = "\n".join(
        (
            header(metadata, reduced, checks),
            picture(preview, _published(call, "preview.png"), metadata),
            figure(reduced, _published(call, "curve.json")),
            check_list(checks),
            fields(metadata),
            provenance(call, metadata, (metadata, preview, reduced)),
        )
    )
    html = DOCUMENT.replace("@title@", escape(_title(metadata))).replace("@body@", body)
    call.output("index.html").write_text(html, encoding="utf-8")
    counts = {verdict: sum(check["verdict"] == verdict for check in checks) for verdict in SIGNS}
    return {"page": "index.html", "summary": reduced["summary"], "checks": counts}


def _published(call: Any, name: str) -> Path | None:
    return next((path for path in call.inputs[1:] if path.name == name), None)


def _unchanged(call: Any, metadata: Found) -> Found:
    size = call.input.stat().st_size
    if size == metadata["bytes"]:
        return {
            "check": "unchanged",
            "verdict": "pass",
            "words": "The file kept its size while it was worked on.",
        }
    words = f"The file had {metadata['bytes']:,} bytes and has {size:,} now: this page is outdated."
    return {"check": "unchanged", "verdict": "notice", "words": words}


def _title(metadata: Found) -> str:
    return str(metadata["fields"].get("Title", {}).get("value") or metadata["file"])


def header(metadata: Found, reduced: Found, checks: list[Found]) -> str:
    """Return the head: what it is, the result in one sentence, the verdict."""
    said = [
        metadata["fields"][label]["value"]
        for label in ("Facility", "Instrument", "Sample")
        if label in metadata["fields"]
    ]
    line = " · ".join(escape(str(words)) for words in said) or escape(metadata["format"])
    worst = checks[0]["verdict"] if checks else "pass"
    counted = {verdict: sum(check["verdict"] == verdict for check in checks) for verdict in SIGNS}
    nouns = {"fail": "failed", "notice": "to notice", "pass": "passed"}
    verdict = ", ".join(
        f"{counted[each]} {nouns[each]}" for each in ("fail", "notice", "pass") if counted[each]
    )
    return (
        f'<header><p class="kicker">{line}</p><h1>{escape(_title(metadata))}</h1>'
        f'<p class="lead">{escape(reduced["summary"])}</p>'
        f'<p class="meta"><code>{escape(metadata["file"])}</code> {escape(metadata["kind_words"])}</p>'
        f'<p><a class="badge {worst}" href="#checks"><span aria-hidden="true">{SIGNS[worst]}</span> '
        f"Checks: {verdict}</a></p></header>"
    )


def picture(preview: Found, place: Path | None, metadata: Found) -> str:
    """Return the preview as a figure, the picture inside the page."""
    if not preview["picture"] or place is None:
        return f"<section><h2>Picture</h2><p>{escape(preview['words'])}</p></section>"
    data = b64encode(place.read_bytes()).decode()
    alt = f"False-colour picture of {metadata['kind_words']}. {preview['words']}"
    return (
        "<section><h2>Picture</h2><figure>"
        f'<img class="preview" alt="{escape(alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(preview['words'])}</figcaption></figure></section>"
    )


def figure(reduced: Found, place: Path | None) -> str:
    """Return the curve as a figure, with its numbers."""
    if not reduced["curve"] or place is None:
        return f"<section><h2>Curve</h2><p>{escape(reduced['summary'])}</p></section>"
    curve = json.loads(place.read_text(encoding="utf-8"))
    rows = "".join(
        f'<tr><th scope="row">{escape(number["name"])}</th><td>{quantity(number["value"], number["error"])} '
        f"{escape(number['unit'])}</td></tr>"
        for number in reduced["numbers"]
    )
    table = f'<table class="numbers"><caption>Results</caption><tbody>{rows}</tbody></table>' if rows else ""
    return (
        f"<section><h2>{escape(curve['title'])}</h2><figure>{plot(curve)}"
        f"<figcaption>{escape(reduced['method'])} The points are in <code>curve.csv</code>.</figcaption>"
        f"</figure>{table}</section>"
    )


def check_list(checks: list[Found]) -> str:
    """Return the checks, the worst first; the verdict is in words, not in colour alone."""
    items = "".join(
        f'<li class="{check["verdict"]}">'
        f'<span class="sign" aria-hidden="true">{SIGNS[check["verdict"]]}</span>'
        f"<div><strong>{WORDS[check['verdict']]}: {escape(check['check'])}</strong>"
        f"<p>{escape(check['words'])}</p></div></li>"
        for check in checks
    )
    return f'<section id="checks"><h2>Checks</h2><ul class="checks">{items}</ul></section>'


def fields(metadata: Found) -> str:
    """Return what the file says, each value with the place it was read from."""
    rows = "".join(_row(label, _value(field), field["from"]) for label, field in metadata["fields"].items())
    signal = metadata["signal"]
    if signal:
        shape = " × ".join(str(length) for length in signal["shape"])
        words = ", ".join(part for part in (shape, signal["type"], signal["compression"]) if part)
        rows += _row("Signal", escape(words), signal["path"])
    return (
        "<section><h2>What the file says</h2><div class=scroll><table><thead><tr><th scope=col>What</th>"
        "<th scope=col>Value</th><th scope=col>Read from</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
        f"<p class=note>{escape(metadata['format'])} {escape(str(metadata['definition']))}, "
        f"{metadata['datasets_total']} data sets, listed in <code>metadata.json</code>.</p></section>"
    )


def provenance(call: Any, metadata: Found, answers: tuple[Found, ...]) -> str:
    """Return where the page comes from, so that it can be made again and argued about."""
    made = [answer["made_by"] for answer in answers]
    made.append({"function": call["exec"]["function"], "attempt": call["run"]["attempt"]})
    steps = "<br>".join(
        f"<code>{escape(each['function'])}</code>"
        + (f" (attempt {each['attempt']})" if each["attempt"] > 1 else "")
        for each in made
    )
    rows = {
        "Input": f"<code>{_breakable(str(call.input))}</code>",
        "Size": f"{metadata['bytes']:,} bytes",
        "SHA-256": f"<code>{escape(metadata['sha256'])}</code>",
        "Written": escape(str(call.event.get("time", "not known"))),
        "Page made": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "Event": f"<code>{escape(str(call.event.get('id', '')))}</code>",
        "Run": f"<code>{escape(str(call['run']['id']))}</code>",
        "Functions": steps,
        "Software": escape(", ".join(f"{name} {version}" for name, version in metadata["software"].items())),
    }
    text = "".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in rows.items())
    table = f'<div class=scroll><table class="provenance"><tbody>{text}</tbody></table></div>'
    return f"<section><h2>Provenance</h2>{table}</section>"


def _row(label: str, value: str, place: str) -> str:
    named = f'<th scope="row">{escape(label)}</th>'
    return f"<tr>{named}<td>{value}</td><td><code>{_breakable(place)}</code></td></tr>"


def _breakable(path: str) -> str:
    return escape(path).replace("/", "/<wbr>")


def _value(field: Found) -> str:
    value = field["value"]
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return escape(f"{text} {field['unit']}".strip()).replace("-", "−" if isinstance(value, float) else "-")


def quantity(value: float, error: float | None) -> str:
    """Return a number as one writes it: as many digits as its error, or four figures, allow."""
    if not error:
        return (f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.4g}").replace("-", "−")
    digits = max(0, -math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}".replace("-", "−")
