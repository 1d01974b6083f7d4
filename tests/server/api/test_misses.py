"""By what a filter missed an event, and that the nearest misses come first."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.event import Event, json_data
from penstock.core.filter import View, parse
from penstock.server.api.misses import Miss, Why, miss_of

EVENT = Event(
    id="1",
    source="/storages/data",
    type="penstock.file.created",
    subject="/data/raw/run1/scan.nxs",
    data=json_data({"size": 10}),
)


def missed(document: dict[str, Any]) -> Miss:
    found = miss_of(parse(document), View(EVENT))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"glob": {"path": "*.h5"}}, Why.NAME),
        ({"glob": {"path": "/data/raw/**/*.h5"}}, Why.NAME),
        ({"glob": {"path": "/data/raw/**.h5"}}, Why.NAME),
        ({"glob": {"path": "other/**/*.nxs"}}, Why.FOLDER),
        ({"glob": {"path": "/data/raw/*.nxs"}}, Why.FOLDER),
        ({"glob": {"path": "x[a/b].nxs"}}, Why.FOLDER),
        ({"exact": {"subject": "/data/raw/run1/scan.h5"}}, Why.NAME),
        ({"exact": {"subject": "/data/scan.nxs"}}, Why.FOLDER),
        ({"prefix": {"subject": "/elsewhere"}}, Why.FOLDER),
        ({"suffix": {"subject": ".h5"}}, Why.NAME),
        ({"exact": {"type": "penstock.file.deleted"}}, Why.KIND),
        ({"exact": {"source": "/storages/other"}}, Why.STORAGE),
        ({"number": {"data.size": {">": 100}}}, Why.DETAILS),
        ({"sql": "data_size > 100"}, Why.EXPRESSION),
        ({"not": {"suffix": {"subject": ".nxs"}}}, Why.EXCLUDED),
    ],
)
def test_a_miss_has_a_reason(document: dict[str, Any], why: Why) -> None:
    assert missed(document).why == why


def test_what_is_wanted_is_no_miss() -> None:
    assert miss_of(parse({"glob": {"path": "raw/**"}}), View(EVENT)) is None


def test_of_several_ways_the_nearest_counts_and_of_several_faults_the_worst() -> None:
    kind, name = {"exact": {"type": "x"}}, {"glob": {"path": "*.h5"}}
    assert missed({"any": [kind, name]}).why == Why.NAME
    assert missed({"all": [kind, name]}).why == Why.KIND
    assert missed(name) < missed(kind) < missed({"all": [kind, name]})


def test_of_equal_misses_the_pattern_that_is_more_like_the_path_is_nearer() -> None:
    assert missed({"glob": {"path": "*.nxs5"}}) > missed({"glob": {"path": "/data/raw/run1/*.nxs5"}})
    assert missed({"glob": {"path": "run2/*.nxs"}}) < missed({"glob": {"path": "run2/*.cbf"}})
