"""Output names: every variable, odd bytes, and nothing that leaves the root."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import Invalid
from penstock.core.template import DEFAULT, VARIABLES, check, render

ROOT = b"/data"


def path(template: str, subject: bytes = b"/data/raw/run 1/a.b.nxs", name: str = "out.png") -> bytes:
    return render(
        template,
        subject=subject,
        root=ROOT,
        name=name,
        function="local/summarise@3",
        run="r1",
        generation=2,
    )


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (DEFAULT, b"/data/raw/run 1/derived/a.b.out.png"),
        ("{root}/derived/{relative}/{stem}{suffix}.{name}", b"/data/derived/raw/run 1/a.b.nxs.out.png"),
        ("derived/{function}/{run}/{name}", b"/data/derived/summarise/r1/out.png"),
        ("{parent}/../v{generation}/{name}", b"/data/raw/v2/out.png"),
        ("{parent}/{{{stem}}}.{name}", b"/data/raw/run 1/{a.b}.out.png"),
    ],
)
def test_a_template_becomes_a_path_below_the_root(template: str, expected: bytes) -> None:
    assert path(check(template)) == expected


def test_a_file_in_the_root_has_an_empty_relative_folder() -> None:
    assert path("{root}/derived/{relative}/{name}", b"/data/x.h5") == b"/data/derived/out.png"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (b"plain", b"plain|"),
        (b".hidden", b".hidden|"),
        (b"a.tar.gz", b"a.tar|.gz"),
        (b"..x", b"..x|"),
        (b"x.", b"x|."),
    ],
)
def test_the_suffix_is_the_last_one_and_a_hidden_file_has_none(base: bytes, expected: bytes) -> None:
    assert path("{root}/d/{stem}|{suffix}", b"/data/" + base) == b"/data/d/" + expected


def test_odd_bytes_are_kept() -> None:
    odd = os.fsdecode(b"\xfe.txt")
    assert path(DEFAULT, b"/data/\xff\n.nxs", odd) == b"/data/derived/\xff\n.\xfe.txt"


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{root}/{name}", "../x"),
        ("/etc/{name}", "passwd"),
        ("{root}/..", "x"),
        ("{root}", "x"),
        ("{root}-other/{name}", "x"),
        ("{parent}/{name}", "a.b.nxs"),
        ("{parent}/{name}", "n" * 300),
        ("{parent}/{name}", "a\0b"),
    ],
)
def test_a_path_outside_the_root_or_over_the_input_is_refused(template: str, name: str) -> None:
    with pytest.raises(Invalid, match="output"):
        path(template, name=name)


@given(name=st.text(max_size=40), template=st.sampled_from(["{root}/{name}", "{parent}/{name}/x", "{name}"]))
def test_no_name_leads_out_of_the_root(name: str, template: str) -> None:
    try:
        rendered = path(template, name=name.encode("utf-8", "ignore").decode())
    except Invalid:
        return
    assert os.path.normpath(rendered) == rendered
    assert rendered.startswith(ROOT + b"/")


@pytest.mark.parametrize("variable", ["runn", "", "Name", "a b"])
def test_an_unknown_variable_is_refused_with_the_known_ones(variable: str) -> None:
    with pytest.raises(Invalid) as refused:
        check("{root}/{" + variable + "}")
    assert f"{{{variable}}}" in str(refused.value)
    assert all(f"{{{known}}}" in str(refused.value) for known in VARIABLES)


@pytest.mark.parametrize("template", ["", "  ", "{root}/{name", "{root}/name}", "x" * 2000])
def test_an_empty_or_unpaired_template_is_refused(template: str) -> None:
    with pytest.raises(Invalid, match="output template"):
        check(template)
