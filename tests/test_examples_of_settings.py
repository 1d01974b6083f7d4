"""Every settings file in the documentation is one that Penstock takes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from penstock.server.settings import Settings, check

DOCS = Path(__file__).parents[1] / "docs"
PLACES = [
    (page, number, text)
    for page in sorted(DOCS.rglob("*.md"))
    for number, text in enumerate(re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.M | re.S), 1)
    if "[project" not in text and "[build-system" not in text
]


@pytest.mark.parametrize(
    ("page", "text"),
    [pytest.param(page, text, id=f"{page.stem}-{number}") for page, number, text in PLACES],
)
def test_it_is_taken_as_it_stands(page: Path, text: str) -> None:
    document = tomllib.loads(text)
    if "servers" in document:  # the inside of a table that the page is about
        document = {"kafka": document}
    if "[receive]" in page.read_text():
        document.setdefault("receive", {"port": 8443})
    if "postgres" in document and "kafka" not in document:
        document["kafka"] = {"servers": "kafka.example.org:9092"}  # the page is about the database alone
    if "kafka" in document and "postgres" not in document:
        document["kafka"].setdefault("partitions", 1)
        if document["kafka"]["partitions"] > 1:
            document["postgres"] = {"host": "db.example.org", "database": "penstock", "user": "penstock"}
    assert isinstance(check(document, str(page)), Settings)


def test_there_are_examples() -> None:
    assert len(PLACES) >= 10
