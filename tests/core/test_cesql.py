"""CESQL: our own table of cases; the public ones are in test_cesql_conformance."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.cesql import FaultKind, compile_cesql
from penstock.core.cesql import like as like_patterns
from penstock.core.errors import Invalid

EVENT: dict[str, Any] = {
    "id": "e1",
    "source": "/storages/local",
    "type": "penstock.file.created",
    "subject": "/raw/run42/a.nxs",
    "hop": "5",
    "count": 7,
    "flag": True,
    "big": 5_000_000_000,
    "metadata_ok": True,
    "step_isOK": True,
}

M, A, C, F = FaultKind.MATH, FaultKind.MISSING_ATTRIBUTE, FaultKind.CAST, FaultKind.FUNCTION


@pytest.mark.parametrize(
    ("text", "value", "fault"),
    [
        ("1 + 2 * 3", 7, None),
        ("(1 + 2) * 3", 9, None),
        ("4-1", 3, None),
        ("4 -1", 3, None),
        ("2 - -3", 5, None),
        ("10 - 2 - 3", 5, None),
        ("+5", 5, None),
        ("-7 / 2", -3, None),
        ("7 / -2", -3, None),
        ("-7 % 3", -1, None),
        ("7 % -3", 1, None),
        ("-2147483648", -2147483648, None),
        ("2147483647 + 1", 0, M),
        ("-(-2147483648)", 0, M),
        ("1 / 0 + 1", 0, M),
        ("1 < 2 AND 2 < 3", True, None),
        ("TRUE OR FALSE AND FALSE", False, None),
        ("TRUE OR (FALSE AND FALSE)", True, None),
        ("FALSE AND TRUE OR TRUE", True, None),
        ("TRUE XOR TRUE OR TRUE", True, None),
        ("NOT TRUE = FALSE", True, None),
        ("NOT (1 = 2)", True, None),
        ("NOT NOT flag", True, None),
        ("1 + 1 = 2", True, None),
        ("hop = 5", True, None),
        ("hop = '5'", True, None),
        ("count = '7'", True, None),
        ("5 = hop", True, None),
        ("flag = 'true'", True, None),
        ("flag = 1", True, None),
        ("'abc' = 1", False, C),
        ("'3000000000' = 1", False, C),
        ("type = 'penstock.file.created'", True, None),
        ("TYPE = 'penstock.file.created'", True, None),
        ("type = 'Penstock.file.created'", False, None),
        ("absent", False, A),
        ("absent = 'x' OR TRUE", False, A),
        ("TRUE OR absent = 'x'", True, None),
        ("absent LIKE '%'", False, A),
        ("absent IN ('x')", False, A),
        ("NOT (absent = 'x')", False, A),
        ("LENGTH(absent)", 0, A),
        ("UPPER(absent)", "", A),
        ("EXISTS absent", False, None),
        ("NOT EXISTS absent", True, None),
        ("EXISTS subject AND subject LIKE '/raw/%'", True, None),
        ("subject LIKE '%.nxs'", True, None),
        ("subject LIKE '/raw/%/a.nxs'", True, None),
        ("subject LIKE '/raw/run__/%'", True, None),
        ("subject NOT LIKE '/raw/%'", False, None),
        ("'a\nb' LIKE 'a_b'", True, None),
        ("'100%' LIKE '100\\%'", True, None),
        ("'100x' LIKE '100\\%'", False, None),
        ("'a\\x' LIKE 'a\\%'", False, None),
        ("'' LIKE ''", True, None),
        ("'' LIKE '%'", True, None),
        ("count IN (1, 7)", True, None),
        ("count IN ('1', '7')", True, None),
        ("count NOT IN (1, 2)", True, None),
        ("count IN ('x')", False, C),
        ("IS_INT('12')", True, None),
        ("IS_INT('12.5')", False, None),
        ("IS_BOOL('TRUE')", True, None),
        ("IS_BOOL('yes')", False, None),
        ("int('+12')", 12, None),
        ("INT('١٢')", 0, C),
        ("STRING(-5)", "-5", None),
        ("BOOL('x')", False, C),
        ("RIGHT('abcdef', 0)", "", None),
        ("LEFT('abc', -1)", "abc", F),
        ("LEFT(LEFT('abc', -1), 1)", "", F),
        ("SUBSTRING('abcdef', 3, 2)", "cd", None),
        ("SUBSTRING('abcdef', -3, 2)", "de", None),
        ("SUBSTRING('abcdef', 2, -1)", "", F),
        ("CONCAT('run', count)", "run7", None),
        ("CONCAT_WS('-', 1, TRUE, 'x')", "1-true-x", None),
        ("TRIM(' \u2003x ')", "x", None),
        ("ABS('-3')", 3, None),
        ("NOSUCH(1)", False, FaultKind.MISSING_FUNCTION),
        ("'it''s' = \"it's\"", True, None),
        ("''", "", None),
        ("big > 2147483647", True, None),
        ("metadata_ok AND step_isOK", True, None),
    ],
)
def test_an_expression_has_this_value_and_error(text: str, value: object, fault: FaultKind | None) -> None:
    outcome = compile_cesql(text).outcome(EVENT.get)
    assert (outcome.value, type(outcome.value), outcome.fault) == (value, type(value), fault)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("", 1, "expected an attribute"),
        ("type =", 7, "not the end"),
        ("type = 'x", 8, "never closed"),
        ("type == 'x'", 7, "not '='"),
        ("(1 = 1", 7, "')'"),
        ("1 = 1)", 6, "the end"),
        ("x LIKE 5", 8, "pattern in quotes"),
        ("x NOT 5", 7, "LIKE or IN"),
        ("x IN ()", 7, "expected an attribute"),
        ("x IN 5", 6, "members of the set"),
        ("EXISTS 'x'", 8, "name of an attribute"),
        ("2147483648", 1, "32 bit"),
        ("-2147483649", 2, "32 bit"),
        ("9" * 5000, 1, "32 bit"),
        ("a § b", 3, "means nothing"),
        ("data.size > 5", 5, "means nothing"),
        ("AND", 1, "the word AND"),
        ("LENGTH2('x')", 1, "no function can be called"),
        ("(" * 5000, 51, "nested deeper"),
        ("NOT " * 1000, 201, "nested deeper"),
        ("1" + "+1" * 5000, 100, "nested deeper"),
    ],
)
def test_a_parse_error_names_the_place_and_what_was_expected(text: str, place: int, said: str) -> None:
    with pytest.raises(Invalid, match=f"character {place}:") as caught:
        compile_cesql(text)
    assert said in str(caught.value)


def test_long_chains_of_logic_are_not_deep() -> None:
    assert compile_cesql(" OR ".join(["type = 'x'"] * 1000)).outcome(EVENT.get).value is False


def test_an_expression_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(Invalid, match="16384"):
        compile_cesql("x" * 20_000)


def test_only_the_boolean_true_without_an_error_holds() -> None:
    held = [
        text
        for text in ("TRUE", "1", "'true'", "absent", "1 / 0 = 0")
        if compile_cesql(text).holds(EVENT.get)
    ]
    assert held == ["TRUE"]


def test_an_expression_names_its_attributes() -> None:
    expression = compile_cesql("EXISTS Subject AND LENGTH(a) IN (b, c1) OR NOT step_Ok")
    assert expression.attributes == {"subject", "a", "b", "c1", "step_Ok"}


def test_calls_that_nothing_answers_are_told() -> None:
    expression = compile_cesql("LEN('x') = 1 AND CONCAT_WS() = '' AND LEFT('x') = ''")
    told = "\n".join(expression.unknown_functions)
    assert "no function LEN" in told
    assert "CONCAT_WS takes 1 or more" in told
    assert "LEFT takes 2" in told


def test_conditions_are_only_what_must_hold() -> None:
    text = "type = 'a' AND (subject LIKE '/r%' AND source LIKE '%x') AND (id = '1' OR id = '2') AND ext = 'e'"
    found = {tuple(condition) for condition in compile_cesql(text).conditions}
    assert found == {("exact", "type", "a"), ("prefix", "subject", "/r"), ("suffix", "source", "x")}
    assert compile_cesql("type = 'a' AND id = '1' OR id = '2'").conditions == ()
    assert compile_cesql("type NOT LIKE 'a%'").conditions == ()


def _naive_like(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_naive_like(text[start:], pattern[1:]) for start in range(len(text) + 1))
    if pattern[0] == "\\" and pattern[1:2] in ("%", "_"):
        return text[:1] == pattern[1] and _naive_like(text[1:], pattern[2:])
    return bool(text) and pattern[0] in ("_", text[0]) and _naive_like(text[1:], pattern[1:])


@given(st.text("ab\\%_", max_size=8), st.text("ab\\%_", max_size=6))
def test_like_agrees_with_its_definition(text: str, pattern: str) -> None:
    assert like_patterns.matcher(pattern)(text) is _naive_like(text, pattern)


@given(st.text("ab(),=+-*/ '\"<>notINx1_%\\", max_size=30))
def test_any_text_is_an_expression_or_refused_in_words(text: str) -> None:
    try:
        expression = compile_cesql(text)
    except Invalid:
        return
    assert type(expression.value(EVENT.get)) in (str, int, bool)
