"""The page in a real browser, on a real installation."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.server.api.served import Served
from tests.server.page.conftest import HOSTILE, Visitor, write

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Visit = Callable[..., Visitor]
ADDRESSES = ("/", "/runs", "/functions", "/dead-letters", "/explain", "/jobs")
AXE = files("axe_playwright_python") / "axe.min.js"
HURT = "() => window.hurt"


def run_of(served: Served, name: str) -> dict[str, Any]:
    """Return the newest run of a file."""
    (run, *_) = served.get(f"runs?path={served.files / name}")["runs"]
    return dict(run)


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong (WCAG 2.2 A and AA, best practices), with the places."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


# -- what is shown -----------------------------------------------------------------------------


def test_a_run_shows_its_graph_its_results_and_where_it_came_from(served: Served, visit: Visit) -> None:
    page = visit().go(f"/runs/{run_of(served, 'good.scan')['id']}")
    expect(page.locator("h1")).to_have_text("good.scan")
    for label in (
        "contents, succeeded",
        "peaks, succeeded, 6/6 items done, map",
        "refined, succeeded, batch",
    ):
        expect(page.get_by_role("link", name=label, exact=True)).to_be_visible()
    shown = page.get_by_role("img", name="Picture good.picture.png")
    assert shown.evaluate("async image => { await image.decode(); return image.naturalWidth; }") == 1
    expect(page.locator("figure", has_text="good.contents.json").locator("pre")).to_contain_text(
        '"title": "<b>scan</b>"'
    )
    provenance = page.get_by_role("region", name="Provenance")
    for words in ("file.created", "local/scan@1", "local/peaks@1", "tester"):
        expect(provenance).to_contain_text(words)
    expect(page.get_by_role("img", name=re.compile("^peaks: 7 tries"))).to_be_visible()


def test_a_step_shows_its_tries_and_what_they_printed(served: Served, visit: Visit) -> None:
    page = visit().go(f"/runs/{run_of(served, 'good.scan')['id']}")
    page.get_by_role("link", name="refined, succeeded, batch").click()
    expect(page).to_have_url(re.compile(r"\?step=refined$"))
    expect(page.get_by_role("log")).to_contain_text("refining <img src=x")
    page.get_by_role("link", name=re.compile("^peaks, succeeded")).click()
    expect(page.get_by_role("table", name="Tries of this step")).to_contain_text("item 3, try 2")


def test_a_failed_run_says_why_and_runs_again_from_the_failed_step(served: Served, visit: Visit) -> None:
    page = visit().go(f"/runs/{run_of(served, 'bad.scan')['id']}")
    expect(page.locator(".error").first).to_contain_text("this is no measurement: <script>")
    page.get_by_role("button", name="Rerun what failed").click()
    expect(page.locator(".notice")).to_contain_text("It runs again")
    expect(page.locator(".head .state")).to_have_text("✗failed")
    expect(page.get_by_role("region", name="Provenance")).to_contain_text("again")


def test_runs_are_found_by_a_part_of_a_path_and_by_state(visit: Visit) -> None:
    page = visit().go("/runs")
    page.keyboard.press("/")
    page.keyboard.type("good")
    page.keyboard.press("Enter")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("good.scan")
    page.get_by_role("link", name="All runs").click()
    page.get_by_label("State").select_option("failed")
    expect(page).to_have_url(re.compile("state=failed"))
    expect(rows.first).to_contain_text("bad.scan")


def test_a_filter_with_a_fault_says_so_beside_the_box(visit: Visit) -> None:
    visitor = visit()
    page = visitor.go("/")
    events = page.get_by_role("region", name="Live events")
    box = events.get_by_role("searchbox")
    box.fill("subject LIKE")
    box.press("Enter")
    expect(events.get_by_role("alert")).to_be_visible()
    expect(box).to_have_attribute("aria-invalid", "true")
    box.fill("subject LIKE '%good.scan'")
    box.press("Enter")
    expect(events.get_by_role("alert")).to_be_hidden()
    expect(events.locator("li")).to_have_count(1)
    assert [fault for fault in visitor.faults if "422" not in fault] == []
    visitor.faults.clear()


def test_explain_tells_of_each_trigger_why(served: Served, visit: Visit) -> None:
    page = visit().go("/explain")
    page.get_by_label("Absolute path of the file").fill(str(served.files / "good.scan"))
    page.get_by_role("button", name="Explain").click()
    accounts = page.get_by_role("region", name="Triggers").locator(".verdicts > li")
    expect(accounts).to_have_count(2)
    expect(accounts.nth(0).get_by_role("img", name="yes", exact=True)).to_be_visible()
    expect(accounts.nth(1).get_by_role("img", name="no", exact=True)).to_be_visible()
    accounts.nth(0).get_by_role("link", name="Run of local/scan@1").click()
    expect(page.locator("h1")).to_have_text("good.scan")


# -- what is done ------------------------------------------------------------------------------


def test_a_dead_letter_is_edited_replayed_and_dropped(served: Served, visit: Visit) -> None:
    path = str(write(served, "letter.scan", "bad"))
    served.ended_run(path=path)
    page = visit().go("/dead-letters")
    page.locator("tbody a", has_text="this is no measurement").first.click()
    expect(page.locator("h1")).to_have_text("letter.scan")
    editor = page.get_by_label("CloudEvent in JSON")
    expect(editor).to_have_value(re.compile("letter.scan"))
    original = editor.input_value()
    editor.fill("{ no json")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("#event-problem")).to_contain_text("no JSON")
    page.get_by_role("button", name="Undo the edit").click()
    expect(editor).to_have_value(original)
    page.get_by_role("button", name="Drop…").click()
    page.get_by_role("button", name="Keep as it is").click()
    expect(page.locator(".head .state")).to_have_text("✗open")
    page.get_by_role("button", name="Replay").click()
    page.get_by_role("link", name="Show the run").click()
    expect(page.get_by_role("region", name="Provenance")).to_contain_text("again")


def test_a_dropped_letter_stays_on_the_list_of_dropped_ones(served: Served, visit: Visit) -> None:
    path = str(write(served, "dropped.scan", "bad"))
    run = served.ended_run(path=path)
    page = visit().go(f"/dead-letters/{run['id']}")
    page.get_by_role("button", name="Drop…").click()
    page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    expect(page.locator("h1")).to_have_text("Dead letters")
    page.locator(".notice").get_by_role("link", name="Show it").click()
    expect(page.locator(".head .state")).to_have_text("■dropped")


def test_a_trigger_is_paused_and_resumed(visit: Visit) -> None:
    page = visit().go("/functions")
    page.get_by_role("button", name="Pause trigger local/gated").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    resume = page.get_by_role("button", name="Resume trigger local/gated")
    resume.click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause trigger local/gated")).to_be_visible()


# -- what is pushed ----------------------------------------------------------------------------


def test_everything_that_happens_is_pushed_to_the_page(served: Served, visit: Visit, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.go("/")
    page.evaluate("() => { window.same = document.querySelector('h1'); }")
    write(served, "pushed.gated", str(tmp_path / "gate"))
    row = page.get_by_role("table", name="Recent runs").locator("tr", has_text="pushed.gated")
    expect(row).to_contain_text("running")
    expect(page.get_by_role("table", name="Workflows at work")).to_contain_text("gated")
    row.get_by_role("link").click()
    expect(page.get_by_role("log")).to_have_text("waiting at the gate\n")
    page.get_by_role("link", name="Overview").click()
    (tmp_path / "gate").touch()
    expect(row).to_contain_text("succeeded")
    assert not page.evaluate("() => performance.getEntriesByType('navigation').length > 1")


def test_a_log_follows_what_is_printed_and_ends_with_its_step(
    served: Served, visit: Visit, tmp_path: Path
) -> None:
    path = str(write(served, "followed.gated", str(tmp_path / "gate")))
    page = visit().go("/runs")
    page.locator("tr", has_text="followed.gated").get_by_role("link").click()
    expect(page.get_by_role("log")).to_have_text("waiting at the gate\n")
    (tmp_path / "gate").touch()
    expect(page.get_by_role("log")).to_have_text("waiting at the gate\nthe gate is open\n")
    expect(page.locator(".head .state")).to_have_text("✓succeeded")
    assert served.ended_run(path=path)["phase"] == "succeeded"


def test_a_run_is_cancelled_after_asking(served: Served, visit: Visit, tmp_path: Path) -> None:
    write(served, "cancelled.gated", str(tmp_path / "gate"))
    page = visit().go("/runs")
    page.locator("tr", has_text="cancelled.gated").get_by_role("link").click()
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
    expect(page.locator(".head .state")).to_have_text("■cancelled")


def test_an_idle_page_asks_nothing(visit: Visit) -> None:
    visitor = visit()
    page = visitor.go("/")
    page.wait_for_load_state("load")
    expect(page.get_by_role("table", name="Recent runs")).to_be_visible()
    # Two frames and one gap later all that was begun has been asked.
    page.evaluate("() => new Promise(done => setTimeout(done, 1000))")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    timers = page.evaluate(
        """() => new Promise(done => {
          const [wait, frame] = [window.setTimeout, window.requestAnimationFrame];
          let count = 0;
          window.setTimeout = (...all) => { count++; return wait(...all); };
          window.setInterval = () => { count++; };
          window.requestAnimationFrame = (...all) => { count++; return frame(...all); };
          wait(() => done(count), 2000);
        })"""
    )
    assert (asked, timers) == ([], 0)


def test_troubles_are_told_in_words(served: Served, visit: Visit) -> None:
    visitor = visit()
    status = served.get("status")
    status["engine"]["troubles"] = {"local": "the folder is gone <b>; is the disk mounted?"}
    visitor.page.route("**/api/v1/status", lambda route: route.fulfill(json=status))
    page = visitor.go("/")
    expect(page.get_by_role("alert").first).to_have_text(
        "✗local: the folder is gone <b>; is the disk mounted?"
    )
    expect(page.get_by_role("table", name="Storages")).to_contain_text("in trouble")


def test_a_page_says_when_penstock_is_away_goes_on_when_it_is_back_and_says_when_its_visit_is_over(
    browser: Browser, tmp_path: Path
) -> None:
    installation = Served(tmp_path)
    installation.start(api=True)
    installation.environment = {"PENSTOCK_PORT": str(installation.port)}
    visitor = Visitor(browser.new_context(), installation)
    line = visitor.go("/").locator("#line")
    assert installation.stop() == 0
    expect(line).to_have_text("no connection")
    expect(visitor.page.locator("h1")).to_have_text("Overview")
    installation.start(api=True)
    expect(line).to_have_text("live")
    visitor.go("/runs")
    expect(visitor.page.locator("h1")).to_have_text("Runs")
    installation.post("token", {})
    expect(visitor.page.get_by_role("alert")).to_contain_text("`penstock open` makes a new address")
    visitor.page.context.close()
    assert installation.stop() == 0


# -- what must not happen ----------------------------------------------------------------------


def test_hostile_names_logs_and_results_are_text(served: Served, visit: Visit) -> None:
    visitor = visit()
    run = run_of_path(served, str(served.files / HOSTILE))
    for address in ("/", "/runs", f"/runs/{run['id']}", f"/explain?run={run['id']}", "/dead-letters"):
        page = visitor.go(address)
        assert page.evaluate(HURT) is None, address
        assert page.locator("main img:not([alt^='Picture'])").count() == 0, address
    page = visitor.go(f"/runs/{run['id']}")
    expect(page.locator("h1")).to_have_text(r"<img src=x onerror=window.hurt=1> \u202egnp\n.scan")
    expect(page.locator("figure", has_text="report.txt").locator("pre")).to_have_text(
        "<img src=x onerror='window.hurt = 1'>"
    )


def run_of_path(served: Served, path: str) -> dict[str, Any]:
    return next(dict(run) for run in served.get("runs")["runs"] if run["path"] == path)


# -- everybody can use it ----------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_hinders_people_with_disabilities(served: Served, visit: Visit, scheme: str) -> None:
    visitor = visit(color_scheme=scheme, reduced_motion="reduce")
    good, bad = run_of(served, "good.scan"), run_of(served, "bad.scan")
    more = (
        f"/runs/{good['id']}?step=peaks",
        f"/runs/{bad['id']}",
        f"/dead-letters/{bad['id']}",
        f"/explain?run={good['id']}",
    )
    found = {}
    for address in (*ADDRESSES, *more):
        page = visitor.go(address)
        assert page.evaluate("() => document.documentElement.dataset.theme") == scheme
        found[address] = violations(page)
    assert {address: each for address, each in found.items() if each} == {}


def test_a_dialog_can_be_used_by_everybody(visit: Visit) -> None:
    page = visit().go("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_keyboard_reaches_everything(visit: Visit) -> None:
    page = visit().go("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for keys, title in (
        ("gr", "Runs"),
        ("gf", "Functions"),
        ("gd", "Dead letters"),
        ("gj", "Jobs"),
        ("go", "Overview"),
    ):
        for key in keys:
            page.keyboard.press(key)
        expect(page.locator("h1")).to_have_text(title)
    for key in "gr":
        page.keyboard.press(key)
    expect(page.locator("[data-row]").nth(1)).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("[data-row]").nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("[data-row]").nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/runs/[0-9a-f]+$"))


def test_single_keys_can_be_switched_off(visit: Visit) -> None:
    page = visit().go("/")
    page.keyboard.press("?")
    page.get_by_label("Use single letters as shortcuts").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).not_to_be_focused()


def test_the_chosen_theme_stays_chosen(visit: Visit) -> None:
    visitor = visit(color_scheme="light")
    page = visitor.go("/")
    page.get_by_role("button", name="Light; switch to dark").click()
    page = visitor.go("/runs")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("width", [400, 768, 1440])
def test_nothing_is_wider_than_the_screen(served: Served, visit: Visit, width: int) -> None:
    visitor = visit(viewport={"width": width, "height": 900})
    good, bad = run_of(served, "good.scan"), run_of(served, "bad.scan")
    details = (
        f"/runs/{good['id']}",
        f"/runs/{bad['id']}",
        f"/dead-letters/{bad['id']}",
        f"/explain?run={good['id']}",
    )
    for address in (*ADDRESSES, *details):
        page = visitor.go(address)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, address
