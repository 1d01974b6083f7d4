"""Filters that name paths in no storage."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.filter import parse
from penstock.server.commands.reach import out_of_reach


@pytest.mark.parametrize(
    ("document", "lost"),
    [
        ({"glob": {"path": "*.h5"}}, []),
        ({"glob": {"path": "elsewhere/**/*.h5"}}, []),
        ({"glob": {"path": "/data/raw/*.h5"}}, []),
        ({"glob": {"path": "/data/**"}}, []),
        ({"glob": {"path": "/d*/x.h5"}}, []),
        ({"glob": {"path": "/database/**"}}, ["/database/**"]),
        ({"any": [{"glob": {"path": "/x/**"}}, {"prefix": {"subject": "/y"}}]}, ["/x/**", "/y"]),
        ({"all": [{"exact": {"type": "/t"}}, {"exact": {"subject": "/data"}}]}, []),
        ({"exact": {"subject": "/elsewhere/scan.h5"}}, ["/elsewhere/scan.h5"]),
        ({"not": {"glob": {"path": "/x/**"}}}, []),
    ],
)
def test_only_what_can_be_in_no_storage_is_named(document: dict[str, Any], lost: list[str]) -> None:
    assert list(out_of_reach(parse(document), ["/data", "/other/"])) == lost


def test_without_storages_every_absolute_path_is_lost() -> None:
    assert list(out_of_reach(parse({"glob": {"path": "/x/*"}}), [])) == ["/x/*"]
