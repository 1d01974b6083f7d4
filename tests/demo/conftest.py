"""What the demo's tests share: its functions as importable neighbours, as in a worker."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from penstock.demo.workspace import FUNCTIONS


@pytest.fixture
def neighbour(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """``neighbour(name)``: a file of the demo's functions, imported by its bare name."""
    names = {path.stem for path in FUNCTIONS.glob("*.py")}
    for name in names:  # another test's module may be called like a neighbour
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(FUNCTIONS))
    yield importlib.import_module
    for name in names & sys.modules.keys():
        del sys.modules[name]
