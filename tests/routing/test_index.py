"""The index finds exactly what asking every filter would find, whatever happens meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.errors import Conflict, NotFound
from penstock.core.event import Event, encode, json_data, subject_of
from penstock.core.filter import Filter, View, compile_filter, parse
from penstock.routing import FilterIndex

TYPES = ["penstock.file.created", "penstock.file.updated", "t"]
SEGMENTS = ["raw", "run4", "run42", "run420", "a.nxs", "b.h5", "ü x"]
NUMBERS = [-3, 0, 1, 1.5, 2, 7, 1000, 1 << 40]

paths = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
starts = st.one_of(paths, paths.map(lambda path: path + "/"), paths.map(lambda path: path[:-1] or "/"))
bounds = st.dictionaries(
    st.sampled_from(["==", "!=", ">=", ">", "<=", "<"]), st.sampled_from(NUMBERS), min_size=1, max_size=4
)
globs = st.one_of(
    st.sampled_from(
        ["*.nxs", "raw/**/*.nxs", "/raw/**", "**/run42/*", "run4*/**", "/raw/*/a.nxs", "a.nxs", "/**/run4?/*"]
    ),
    st.lists(st.sampled_from([*SEGMENTS, "*", "**", "run[24]*"]), min_size=1, max_size=4).map("/".join),
)
leaves: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from(TYPES).map(lambda text: {"exact": {"type": text}}),
    st.sampled_from(["penstock.", "penstock.file.c", "t"]).map(lambda text: {"prefix": {"type": text}}),
    starts.map(lambda text: {"prefix": {"path": text}}),
    starts.map(lambda text: {"suffix": {"path": text[2:] or "s"}}),
    paths.map(lambda text: {"exact": {"path": text}}),
    starts.map(lambda text: {"prefix": {"data.names": text[1:] or "r"}}),
    globs.map(lambda text: {"glob": {"path": text}}),
    bounds.map(lambda wanted: {"number": {"data.size": wanted}}),
    bounds.map(lambda wanted: {"number": {"data.owner.gids": wanted}}),
    st.sampled_from([1, 2, 7]).map(lambda uid: {"exact": {"data.owner.uid": uid}}),
    st.sampled_from([1, 2, 7]).map(lambda gid: {"exact": {"data.owner.gids": gid}}),
    st.sampled_from(["a", "b"]).map(lambda text: {"exact": {"beamline": text}}),
    st.sampled_from(
        [
            "type = 't' AND subject LIKE '/raw/%'",
            "type LIKE 'penstock.%' OR data_size > 1",
            "NOT EXISTS beamline",
            "subject LIKE '%.nxs' AND beamline = 'a'",
        ]
    ).map(lambda text: {"sql": text}),
)
documents = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=6,
)
filters = st.one_of(st.just({}), documents).map(parse)
events = st.builds(
    lambda type, path, size, uid, gids, names, beamline: Event(
        id="e",
        source="/s",
        type=type,
        subject=subject_of(path.encode()),
        data=json_data({"size": size, "owner": {"uid": uid, "gids": gids}, "names": names}),
        extensions={} if beamline is None else {"beamline": beamline},
    ),
    st.sampled_from(TYPES),
    paths,
    st.sampled_from([None, *NUMBERS]),
    st.sampled_from([1, 2, "7"]),
    st.lists(st.sampled_from([1, 2, 7]), max_size=3),
    st.lists(st.sampled_from(SEGMENTS), max_size=3),
    st.sampled_from([None, "a", "b"]),
)


def naive(filters: dict[str, Filter], event: Event) -> set[str]:
    view = View(event)
    return {name for name, filter in filters.items() if compile_filter(filter)(view)}


def assert_equal(index: FilterIndex, filters: dict[str, Filter], event: Event) -> None:
    found = index.match(event)
    assert len(found) == len(set(found))
    assert set(found) == naive(filters, event)
    assert set(index.match_bytes(encode(event))) == set(found)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.none() | filters), max_size=40),
    st.lists(events, min_size=1, max_size=4),
)
def test_it_agrees_with_asking_every_filter_while_filters_come_and_go(
    changes: list[tuple[str, Filter | None]], seen: list[Event]
) -> None:
    index, filters = FilterIndex(), {}
    for step, (name, filter) in enumerate(changes):
        if filter is not None:
            filters[name] = filter
            index.replace(name, filter)
        elif filters.pop(name, None) is not None:
            index.remove(name)
        assert_equal(index, filters, seen[step % len(seen)])
    for event in seen:
        assert_equal(index, filters, event)
    for name in filters:
        index.remove(name)
    assert len(index) == 0
    assert index._shelves == {}


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(filters, min_size=20, max_size=60), events)
def test_it_agrees_where_places_are_crowded(wanted: list[Filter], event: Event) -> None:
    filters = {str(number): filter for number, filter in enumerate(wanted)}
    index = FilterIndex()
    for name, filter in filters.items():
        index.add(name, filter)
    assert_equal(index, filters, event)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)), max_size=12),
    st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(1 << 63), 1 << 63)),
)
def test_ranges_of_any_width_are_found(ends: list[tuple[float, float]], number: float) -> None:
    filters = {
        str(index): parse({"number": {"data.x": {">=": low, "<": high}}})
        for index, (low, high) in enumerate(ends)
        if abs(low) != float("inf") != abs(high)
    }
    index = FilterIndex()
    for name, filter in filters.items():
        index.add(name, filter)
    event = Event(id="e", source="s", type="t", data=json_data({"x": number}))
    assert_equal(index, filters, event)


def file_event(path: bytes, **data: object) -> Event:
    return Event(id="e", source="s", type="t", subject=subject_of(path), data=json_data(data))


def test_a_prefix_may_end_within_a_segment() -> None:
    index = FilterIndex()
    index.add("run4", parse({"prefix": {"path": "/raw/run4"}}))
    index.add("run42/", parse({"prefix": {"path": "/raw/run42/"}}))
    index.add("relative", parse({"prefix": {"path": "raw"}}))
    assert sorted(index.match(file_event(b"/raw/run42/a"))) == ["run4", "run42/"]
    assert index.match(file_event(b"/raw/run5/a")) == []
    assert index.match(file_event(b"/raw/run4")) == ["run4"]
    assert index.match(file_event(b"rawhide")) == ["relative"]


def test_bytes_that_are_no_utf8_are_matched_as_bytes() -> None:
    index = FilterIndex()
    index.add("glob", parse({"glob": {"path": "/raw/?.dat"}}))
    index.add("prefix", parse({"prefix": {"subject": "/raw/%FF"}}))
    assert sorted(index.match(file_event(b"/raw/\xff.dat"))) == ["glob", "prefix"]
    assert index.match(file_event(b"/raw/\xfe.dat")) == ["glob"]


def test_identical_filters_are_checked_once() -> None:
    index = FilterIndex()
    document = {"glob": {"path": "/raw/*/x*.nxs"}, "exact": {"type": "t"}}
    for number in range(100):
        index.add(str(number), parse(document))
    place = index._places["0"]
    assert all(other == place for other in index._places.values())
    assert len(index.match(file_event(b"/raw/run1/xy.nxs"))) == 100


def test_filters_on_one_prefix_are_told_apart_by_another_field() -> None:
    index = FilterIndex()
    for uid in range(1000):
        index.add(
            str(uid), parse({"prefix": {"path": "/raw/"}, "exact": {"type": "t", "data.owner.uid": uid}})
        )
    fields = [place.field for place in index._places.values()]  # type: ignore[union-attr]
    assert fields.count("data.owner.uid") > 980
    assert index.match(file_event(b"/raw/a", owner={"uid": 517})) == ["517"]


def test_a_filter_with_several_matching_alternatives_is_found_once() -> None:
    index = FilterIndex()
    index.add("both", parse({"any": [{"prefix": {"path": "/raw/"}}, {"suffix": {"path": ".nxs"}}]}))
    assert index.match(file_event(b"/raw/a.nxs")) == ["both"]


def test_more_alternatives_than_the_limit_are_still_found() -> None:
    index = FilterIndex()
    index.add("many", parse({"any": [{"exact": {"path": f"/{number}"}} for number in range(100)]}))
    assert index.match(file_event(b"/77")) == ["many"]
    assert index.match(file_event(b"/777")) == []


def test_names_are_unique_and_known() -> None:
    index = FilterIndex()
    index.add("a", parse({}))
    with pytest.raises(Conflict, match="'a'"):
        index.add("a", parse({}))
    with pytest.raises(NotFound, match="'b'"):
        index.remove("b")
    assert "a" in index
    assert "b" not in index
