"""The demo's folder."""

from __future__ import annotations

from pathlib import Path

from penstock.demo.workspace import FUNCTIONS, lay


def test_functions_are_copied_and_edits_survive(tmp_path: Path) -> None:
    workspace = lay(tmp_path, [])
    assert {path.name for path in workspace.functions.iterdir()} == {
        path.name for path in FUNCTIONS.glob("*.py")
    }
    workspace.workflow.write_text("# mine")
    assert lay(tmp_path, []).workflow.read_text() == "# mine"


def test_the_page_of_a_file_is_where_the_functions_publish_it(tmp_path: Path) -> None:
    workspace = lay(tmp_path, [])
    assert workspace.page("a.h5") == workspace.root / "derived" / "a" / "index.html"
    assert 'outputs="{root}/derived/{stem}/{name}"' in (FUNCTIONS / "page.py").read_text()
