"""The page's modules by themselves: what is drawn where, what is patched, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from tests.server.api.served import Served
from tests.server.page.conftest import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The overview, for all of these tests."""
    context = browser.new_context()
    yield Visitor(context, served).page
    context.close()


@pytest.fixture
def module(page: Page) -> Callable[..., Any]:
    """``module(name, body, given)``: run a function body with a module of the page as ``m``."""
    folder = page.locator("script[type=module]").get_attribute("src")
    assert folder is not None
    folder = folder.rsplit("/", 1)[0]

    def run(name: str, body: str, given: Any = None) -> Any:
        code = f"async ([path, given]) => {{ const m = await import(path); {body} }}"
        return page.evaluate(code, [f"{folder}/{name}", given])

    return run


def steps(**after: str) -> list[dict[str, Any]]:
    return [{"name": name, "after": names.split()} for name, names in after.items()]


def test_steps_lie_behind_their_predecessors_and_never_on_each_other(module: Any) -> None:
    graph = steps(a="", b="a", c="a", d="a", e="b c", f="e d", g="", h="a f")
    places = module("graph.js", "return Object.fromEntries(m.layout(given).places)", graph)
    for step in graph:
        for other in step["after"]:
            assert places[other]["x"] + 184 < places[step["name"]]["x"]
    boxes = [places[step["name"]] for step in graph]
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            assert abs(one["x"] - other["x"]) >= 184 or abs(one["y"] - other["y"]) >= 60


def test_a_long_edge_has_a_place_of_its_own_in_the_layers_it_passes(module: Any) -> None:
    graph = steps(a="", b="a", c="b", d="a c")
    found = module("graph.js", "const {places, via} = m.layout(given); return [[...via], [...places]]", graph)
    via, places = (dict(pairs) for pairs in found)
    assert via["a>d"] == ["a>d>1", "a>d>2"]
    assert via["a>b"] == []
    for between, passed in (("b", "a>d>1"), ("c", "a>d>2")):
        assert places[between]["x"] == places[passed]["x"]
        assert places[between]["y"] != places[passed]["y"]


def test_a_ring_is_drawn_all_the_same(module: Any) -> None:
    # No workflow has one; a page must not hang on what it did not expect.
    assert module("graph.js", "return m.layout(given).places.size", steps(a="b", b="a")) >= 2


def test_lists_are_patched_by_key_and_nodes_stay_the_same(module: Any) -> None:
    body = """
      const list = document.createElement('ul');
      const draw = keys => m.render(list, keys.map(key => m.h('li', {key}, key)));
      draw(['a', 'b', 'c']);
      const [a, , c] = list.children;
      draw(['x', 'c', 'a']);
      return [list.textContent, list.children[1] === c, list.children[2] === a];
    """
    assert module("dom.js", body) == ["xca", True, True]


def test_what_somebody_types_survives_a_patch(module: Any) -> None:
    body = """
      const place = document.body.appendChild(document.createElement('div'));
      const draw = words => m.render(place, words, m.h('input', {value: ''}));
      draw('one');
      const input = place.querySelector('input');
      input.focus();
      input.value = 'typed';
      draw('two');
      const found = [input.isConnected, input.value, document.activeElement === input];
      place.remove();
      return found;
    """
    assert module("dom.js", body) == [True, "typed", True]


@pytest.mark.parametrize(
    "props",
    [
        {"onclick": "alert(1)"},
        {"style": "color: red"},
        {"srcdoc": "<b>"},
        {"innerHTML": "<b>"},
        {"href": "javascript:alert(1)"},
        {"href": "//example.org/"},
        {"href": "/\\example.org/"},
        {"href": "/\t/example.org/"},
        {"src": "https://example.org/a.png"},
        {"src": "data:image/svg+xml,<svg/>"},
    ],
)
def test_what_could_become_code_or_leave_the_page_is_refused(module: Any, props: dict[str, str]) -> None:
    body = """
      try {
        m.render(document.createElement('div'), m.h('a', given));
      } catch (error) {
        return error.message;
      }
      return '';
    """
    assert module("dom.js", body, props) != ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0012, "1.2 ms"),
        (0.25, "250 ms"),
        (3.44, "3.4 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3 * 3600 + 600, "3 h 10 min"),
        (5 * 86400, "5 days"),
        (-1, ""),
    ],
)
def test_durations_read_well(module: Any, seconds: float, words: str) -> None:
    assert module("wording.js", "return m.duration(given)", seconds) == words


def test_times_keep_their_microseconds(module: Any) -> None:
    body = "return m.span(given, '2026-11-21T09:00:00.001700Z')"
    assert module("wording.js", body, "2026-11-21T09:00:00.001200Z") == "0.5 ms"


def test_names_that_deceive_are_written_out(module: Any) -> None:
    assert module("wording.js", "return m.visible(given)", "a\u202eb\nc\x1b") == r"a\u202eb\nc\u001b"
    assert module("wording.js", "return m.path(given)", "/a%20b/%FF") == "/a%20b/%FF"


def test_a_filter_is_told_in_words(module: Any) -> None:
    body = "return m.clauses(given)"
    created = {"any": [{"exact": {"type": "a"}}, {"exact": {"type": "b"}}]}
    assert module("views/functions.js", body, {"all": [created, {"glob": {"path": "*.h5"}}]}) == [
        "type is a or b",
        "path is like *.h5",
    ]
    assert module("views/functions.js", body, {}) == ["every event"]
