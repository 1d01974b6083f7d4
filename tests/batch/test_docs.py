"""The documented example is run as it stands."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from penstock.batch.settings import LocalQueueSettings
from penstock.testing.batch_suite import BatchSystemSuite

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "batch.md").read_text()


def _example() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)
    return names


Example: type[BatchSystemSuite] = _example()["TestOneAtATime"]


@pytest.mark.slow
class TestDocumentedExample(Example):  # type: ignore[valid-type, misc]
    pass


def test_every_setting_is_documented() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    assert {field.name for field in fields(LocalQueueSettings)} <= documented
