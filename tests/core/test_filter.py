"""Filters: what documents mean, what is refused and where, and how it is explained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.errors import Invalid
from penstock.core.event import Event, encode, json_data, path_members, subject_of
from penstock.core.filter import EVERYTHING, View, compile_filter, explain, glob, parse
from penstock.core.filter.document import DEPTH_MAX, FAULTS_MAX, NODES_MAX

DATA = {
    "storage": "local",
    "size": 12,
    "ratio": 0.5,
    "mtime_ns": 5_000_000_000,
    "owner": {"uid": 1000, "gids": [100, 1000], "subject": "ada"},
    "files": [{"name": "a"}, {"name": "b"}],
    "moved_from": None,
}
EVENT = Event(
    id="e1",
    source="/storages/local",
    type="penstock.file.created",
    subject="/raw/run42/a%20b.nxs",
    depth=2,
    data=json_data(DATA),
    extensions={"beamline": "p11", "run": 42, "open": True},
)


def wants(document: Any, event: Event = EVENT) -> bool:
    wanted = compile_filter(parse(document))
    assert wanted(View(event)) is wanted(View.of_bytes(encode(event)))
    return wanted(View(event))


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (None, True),
        ({}, True),
        ([], True),
        ({"exact": {"type": "penstock.file.created", "source": "/storages/local"}}, True),
        ({"exact": {"type": "penstock.file.created", "source": "/storages/other"}}, False),
        ({"exact": {"type": "Penstock.file.created"}}, False),
        ({"exact": {"specversion": "1.0"}}, True),
        ({"exact": {"absent": "x"}}, False),
        ({"exact": {"beamline": "p11"}}, True),
        ({"exact": {"run": "42"}}, True),
        ({"exact": {"run": 42}}, True),
        ({"exact": {"open": "true"}}, True),
        ({"exact": {"open": True}}, True),
        ({"exact": {"open": 1}}, False),
        ({"exact": {"depth": 2}}, True),
        ({"exact": {"path": "/raw/run42/a b.nxs"}}, True),
        ({"exact": {"subject": "/raw/run42/a b.nxs"}}, False),
        ({"exact": {"data.owner.uid": 1000}}, True),
        ({"exact": {"data.owner.gids": 100}}, True),
        ({"exact": {"data.owner.gids": 101}}, False),
        ({"exact": {"data.files.name": "b"}}, True),
        ({"exact": {"data.owner": "ada"}}, False),
        ({"exact": {"data.moved_from": "x"}}, False),
        ({"prefix": {"type": "penstock.", "path": "/raw/run4"}}, True),
        ({"suffix": {"path": ".nxs"}}, True),
        ({"suffix": {"data.owner.subject": "da"}}, True),
        ({"number": {"data.size": {">=": 10, "<": 13}}}, True),
        ({"number": {"data.size": {">": 12}}}, False),
        ({"number": {"data.size": {"=": 12}}}, True),
        ({"number": {"data.size": {"!=": 12}}}, False),
        ({"number": {"data.ratio": {"<=": 0.5}}}, True),
        ({"number": {"data.absent": {"<": 5}}}, False),
        ({"number": {"data.storage": {"<": 5}}}, False),
        ({"number": {"data.owner.gids": {">": 999}}}, True),
        ({"number": {"data.owner.gids": {">": 100, "<": 1000}}}, False),
        ({"number": {"open": {">=": 0}}}, False),
        ({"glob": {"path": "*.nxs"}}, True),
        ({"glob": {"path": "raw/**/*.nxs"}}, True),
        ({"glob": {"path": "*.NXS"}}, False),
        ({"not": {"glob": {"path": "*.nxs"}}}, False),
        ({"any": [{"exact": {"type": "x"}}, {"prefix": {"path": "/raw"}}]}, True),
        ({"all": [{"exact": {"type": "x"}}, {"prefix": {"path": "/raw"}}]}, False),
        ([{"prefix": {"path": "/raw"}}, {"suffix": {"path": ".nxs"}}], True),
        ({"glob": {"path": "*.nxs"}, "number": {"data.size": {">": 100}}}, False),
        ({"sql": "type LIKE 'penstock.%' AND run = 42"}, True),
        ({"sql": "path LIKE '/raw/%' AND data_size = 12 AND data_owner_uid = 1000"}, True),
        ({"sql": "data_mtime_ns > 2147483647"}, True),
        ({"sql": "absent = 'x'"}, False),
        ({"sql": "NOT (absent = 'x')"}, False),
        ({"sql": "data_owner = 'x'"}, False),
    ],
)
def test_a_document_wants_the_event_or_not(document: Any, wanted: bool) -> None:
    assert wants(document) is wanted


def test_the_path_is_its_bytes() -> None:
    path = b"/raw/\xff\xe2\x82.dat"
    named = Event(id="e", source="s", type="t", subject=subject_of(path))
    recorded = Event(id="e", source="s", type="t", data=json_data(path_members(path)))
    for event in (named, recorded):
        assert View(event).path_bytes == path
        assert wants({"glob": {"path": "/raw/*.dat"}}, event)
        assert not wants({"glob": {"path": "/raw/\ufffd*"}}, event)


@pytest.mark.parametrize(
    "data", [b"1", b"[]", b'"x"', b"null", b"[" * 100 + b"]" * 100, b'{"size":' + b"9" * 5000 + b"}"]
)
def test_odd_data_fail_a_filter_and_nothing_else(data: bytes) -> None:
    raw = b'{"specversion":"1.0","id":"a","source":"s","type":"t","data":' + data + b"}"
    view = View.of_bytes(raw)
    assert not compile_filter(parse({"number": {"data.size": {">": 1}}}))(view)
    assert not compile_filter(parse({"prefix": {"path": "/"}}))(view)
    assert compile_filter(parse({"exact": {"type": "t"}}))(view)


@pytest.mark.parametrize(
    ("document", "places"),
    [
        ("*.nxs", ["/: expected an object"]),
        (5, ["/: expected an object"]),
        ({"exacto": {}}, ["/exacto: there is no dialect 'exacto'"]),
        ({"exact": {}}, ["/exact: expected an object from fields"]),
        ({"exact": {"type": ""}}, ["/exact/type: expected a text of 1 to"]),
        ({"exact": {"type": None}}, ["/exact/type: expected a text, not None"]),
        ({"exact": {"data.x": 1.5}}, ["use the dialect 'number'"]),
        (
            {"exact": {"Type": "x", "data": "y", "data.": "z"}},
            ["/exact/Type", "/exact/data:", "/exact/data.:"],
        ),
        ({"prefix": {"path": 5}}, ["/prefix/path: expected a text, not a int"]),
        ({"prefix": {"a/b": "x"}}, ["/prefix/a~1b: there can be no attribute"]),
        ({"number": {"data.size": 5}}, ["/number/data.size: expected bounds"]),
        ({"number": {"data.size": {"=>": 5}}}, ["no comparison '=>'"]),
        ({"number": {"data.size": {">": "5"}}}, ["expected a number, not '5'"]),
        ({"number": {"data.size": {">": float("nan")}}}, ["expected a number, not nan"]),
        ({"glob": {"path": "raw/"}}, ["for all files below write 'raw/**'"]),
        ({"glob": {"path": "[a"}}, ["'[' at character 1 is never closed"]),
        ({"glob": {"path": "[z-a]"}}, ["the wrong way round"]),
        ({"glob": {"path": "a\\"}}, ["ends in a backslash"]),
        ({"all": []}, ["/all: expected a list of at least one"]),
        ({"any": {"exact": {}}}, ["/any: expected a list"]),
        ({"not": {}}, ["/not: the filter is empty"]),
        ({"sql": "type ="}, ["/sql: CESQL, character 7"]),
        ({"sql": "LEN(type) = 1"}, ["/sql: CESQL: there is no function LEN"]),
        ({"sql": 5}, ["/sql: expected a CESQL expression"]),
        (
            [{"exact": {"type": ""}}, {"any": [{"exact": {"type": "t"}}, {"glob": {"path": "a/"}}]}],
            ["/0/exact/type", "/1/any/1/glob/path"],
        ),
    ],
)
def test_every_fault_is_told_with_its_place(document: Any, places: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        parse(document)
    assert len(caught.value.faults) == len(places)
    for fault, place in zip(caught.value.faults, places, strict=True):
        assert place in fault


def test_depth_length_and_number_are_limited() -> None:
    deep: Any = {"exact": {"type": "t"}}
    for _ in range(DEPTH_MAX):
        deep = {"not": deep}
    parse(deep)
    for document in (
        {"not": deep},
        {"any": [{"exact": {"type": "t"}}] * NODES_MAX + [{"exact": {"type": "t"}}]},
        {"exact": {"type": "x" * 10_000}},
        {"glob": {"path": "x" * 10_000}},
        {"exact": {"run": 10**5000}},
    ):
        with pytest.raises(Invalid):
            parse(document)
    with pytest.raises(Invalid) as caught:
        parse([5] * 900)
    assert len(caught.value.faults) == FAULTS_MAX


def test_filters_that_say_the_same_are_equal() -> None:
    assert parse({"number": {"data.size": {">": 1, "<": 5}}}) == parse(
        {"number": {"data.size": {"<": 5, ">": 1}}}
    )
    assert parse({"all": [{"exact": {"type": "t"}}]}) != EVERYTHING
    assert hash(parse({"exact": {"type": "t"}})) == hash(parse([{"exact": {"type": "t"}}]))


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("*.nxs", ["/a.nxs", "/raw/.nxs", "a.nxs"], ["/a.nxs/b", "/a.nxsx"]),
        ("a.nxs", ["/a.nxs", "/x/a.nxs", "a.nxs"], ["/ba.nxs"]),
        ("/a.nxs", ["/a.nxs"], ["/x/a.nxs", "a.nxs"]),
        ("/raw/*.nxs", ["/raw/a.nxs"], ["/raw/x/a.nxs", "/x/raw/a.nxs"]),
        ("raw/*.nxs", ["/raw/a.nxs", "/x/raw/a.nxs"], ["/raw/x/a.nxs", "/draw/a.nxs"]),
        ("raw/**/*.nxs", ["/raw/a.nxs", "/x/raw/y/z/a.nxs"], ["/raw.nxs"]),
        ("raw/**", ["/raw/a", "/x/raw/y/z"], ["/raw", "/draw/a"]),
        ("/raw/**", ["/raw/a", "/raw/y/z"], ["/x/raw/a"]),
        ("**/a", ["/a", "/x/a", "a"], ["/xa"]),
        ("**", ["/a", "a/b", ""], []),
        ("/a**z", ["/az", "/a/b/z"], ["/b/az"]),
        ("run?/a", ["/run1/a", "/runü/a"], ["/run/a", "/run12/a", "/run//a"]),
        ("run[0-9]", ["/run5"], ["/run", "/runx"]),
        ("run[!0-9]", ["/runx"], ["/run5", "/run/"]),
        ("run[^0-9]x", ["/runyx"], ["/run5x", "/run/x"]),
        ("run[]a]", ["/run]", "/runa"], ["/runb"]),
        ("run[a-]", ["/run-", "/runa"], ["/runb"]),
        ("\\*.nxs", ["/*.nxs"], ["/a.nxs"]),
        ("a\nb", ["/a\nb"], ["/a b"]),
        ("*", ["/a", "/a/b"], []),
        ("*/a*b/*c", ["/x/ab/c", "/x/a1b2b/cc", "/y/x/ab/c"], ["/ab/c", "/x/ab/d/c"]),
    ],
)
def test_a_glob_matches_these_paths_and_not_those(
    pattern: str, matches: list[str], others: list[str]
) -> None:
    test = glob.matcher(pattern)
    assert [path for path in (*matches, *others) if test(path)] == matches


def _naive_glob(parts: list[glob.Token], path: str) -> bool:
    if not parts:
        return not path
    token, rest = parts[0], parts[1:]
    if token.regex == "**/":
        starts = [
            *([] if path.startswith("/") else [0]),
            *(at + 1 for at, character in enumerate(path) if character == "/"),
        ]
        return any(_naive_glob(rest, path[start:]) for start in starts)
    if token.regex in ("*", "**"):
        reach = len(path) if token.regex == "**" else (path + "/").index("/")
        return any(_naive_glob(rest, path[start:]) for start in range(reach + 1))
    if not path or (token.literal and token.literal != path[0]) or (not token.literal and path[0] == "/"):
        return False
    return _naive_glob(rest, path[1:])


@given(st.text("ab/*?", min_size=1, max_size=9), st.text("ab/", max_size=9))
def test_globs_agree_with_their_definition(pattern: str, path: str) -> None:
    if pattern.endswith("/"):
        return
    assert glob.matcher(pattern)(path) is _naive_glob(glob.tokens(pattern), path)


@pytest.mark.timeout(10)
def test_no_glob_explodes() -> None:
    path = "/" + "a" * 8000
    assert not glob.matcher("/" + "*a" * 400 + "b")(path)
    assert not glob.matcher("**a" * 300 + "[b]")(path)
    assert not glob.matcher("a*" * 300 + "[b]*b[b]")("/" + "a/" * 4000)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["exact", "glob", "number", "all", "any", "not", "sql", "type", "path"])
                | st.text(),
                inner,
            )
        ),
    )
)
def test_any_document_is_a_filter_or_refused(document: Any) -> None:
    try:
        filter = parse(document)
    except Invalid as error:
        assert error.faults  # noqa: PT017 - either outcome is right
        return
    assert explain(filter, View(EVENT)).holds is compile_filter(filter)(View(EVENT))


@pytest.mark.parametrize(
    ("document", "failures"),
    [
        ({"number": {"data.size": {">=": 1000}}}, ["data.size is 12, the filter wants >= 1000"]),
        ({"exact": {"size": "12"}}, ["size is absent (did you mean data.size?), the filter wants '12'"]),
        (
            {"glob": {"path": "*.h5"}, "exact": {"type": "penstock.file.created", "beamline": "p09"}},
            [
                "path is '/raw/run42/a b.nxs', the filter wants it to match '*.h5'",
                "beamline is 'p11', the filter wants 'p09'",
            ],
        ),
        (
            {"any": [{"suffix": {"path": ".h5"}}, {"prefix": {"path": "/x"}}]},
            [
                "path is '/raw/run42/a b.nxs', the filter wants it to end with '.h5'",
                "path is '/raw/run42/a b.nxs', the filter wants it to start with '/x'",
            ],
        ),
        ({"not": {"exact": {"run": 42}}}, ["run is 42, the filter wants anything but '42'"]),
        (
            {"sql": "run > 50"},
            ["the CESQL expression 'run > 50' is false; run is 42"],
        ),
        (
            {"sql": "gone > 50"},
            ["the CESQL expression 'gone > 50' failed: the event has no attribute 'gone'; gone is absent"],
        ),
        ({"exact": {"run": 42}}, []),
    ],
)
def test_an_explanation_says_what_the_event_had_and_the_filter_wanted(
    document: Any, failures: list[str]
) -> None:
    explanation = explain(parse(document), View(EVENT))
    assert explanation.failures() == failures
    assert explanation.holds is not bool(failures)


def test_an_explanation_shows_the_whole_tree() -> None:
    document = {"all": [{"exact": {"run": 42}}, {"not": {"all": [{"exact": {"run": 42}}]}}]}
    assert list(explain(parse(document), View(EVENT)).lines()) == [
        "✗ all of these:",
        "  ✓ run is 42, the filter wants '42'",
        "  ✗ the filter wants anything but all of these: run is 42, the filter wants '42'",
    ]


def test_the_examples_in_the_documentation_are_filters() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "filters.md"
    examples = re.findall(r"(\{\"[a-z]+\": .*\})(?:`|$)", page.read_text(), re.MULTILINE)
    assert len(examples) > 8
    for example in examples:
        if "…" not in example:
            parse(json.loads(example))


def test_data_are_decoded_only_when_asked_for() -> None:
    view = View(EVENT)
    assert compile_filter(parse({"prefix": {"path": "/raw/"}, "exact": {"beamline": "p11"}}))(view)
    before = view.__getstate__()[1]["_data"]  # type: ignore[index]
    assert compile_filter(parse({"exact": {"data.storage": "local"}}))(view)
    assert view.data is view.data
    assert view.__getstate__()[1]["_data"] is not before  # type: ignore[index]
