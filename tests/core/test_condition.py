"""What a condition sees is what its page in the documentation says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from penstock.core.cesql import compile_cesql
from penstock.core.condition import Value, lookup_in, spelled

PAGE = (Path(__file__).parents[2] / "docs/reference/conditions.md").read_text()
EXAMPLES = PAGE.split("## Examples")[1]
ROWS = re.findall(r"^\| `(.+)` \| (yes|no) \|$", EXAMPLES, re.MULTILINE)
ANSWERS = msgspec.json.decode(EXAMPLES.split("```")[1].removeprefix("json"), type=dict[str, Raw])
RUN: dict[str, Value] = {"subject": "/raw/scan.h5", "trigger": "t", "generation": 0}


def test_the_page_has_examples() -> None:
    assert len(ROWS) > 10


@pytest.mark.parametrize(("condition", "holds"), ROWS)
def test_an_example_holds_as_the_page_says(condition: str, holds: str) -> None:
    answers = sorted(
        ((spelled(name), answer) for name, answer in ANSWERS.items()), key=lambda pair: -len(pair[0])
    )
    assert compile_cesql(condition).holds(lookup_in(RUN, answers)) == (holds == "yes")


def test_a_member_whose_whole_name_fits_comes_first() -> None:
    answer = Raw(b'{"a":{"b":1,"c":{"d":4},"e":5},"a_b":2,"a_c":{"d":3},"A-b-c":6}')
    lookup = lookup_in({}, [("s", answer)])
    assert [lookup(name) for name in ("s_a_b", "s_a_b_c", "s_a_c_d", "s_a_e")] == [2, 6, 3, 5]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values, st.from_regex(r"s(_[a-z0-9]{0,2}){0,3}", fullmatch=True))
def test_any_answer_can_be_looked_into(answer: object, name: str) -> None:
    value = lookup_in(RUN, [("s", Raw(msgspec.json.encode(answer)))])(name)
    assert value is None or isinstance(value, str | int | bool)
