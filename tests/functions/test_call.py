"""What a function's author gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.sdk import Call


def test_a_call_without_a_file_says_how_to_give_one() -> None:
    call = Call(event={"type": "penstock.manual"}, params={"n": 1})
    for ask in (lambda: call.input, lambda: call.inputs, call.open):
        with pytest.raises(LookupError, match=r"has no input file.*--file PATH"):
            ask()


def test_inputs_are_the_file_and_what_earlier_steps_wrote() -> None:
    call = Call(read={"path": "/a"}, inputs=[{"path": "/a"}, {"path": "/b"}])
    assert (call.input, call.inputs) == (Path("/a"), [Path("/a"), Path("/b")])
    assert Call(read={"path": "/a"}).inputs == [Path("/a")]
