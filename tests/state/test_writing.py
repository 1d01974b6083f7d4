"""Rows as SQLite takes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.state.golden.make import sample

from penstock.core.rows import Row, Seen
from penstock.state.tables import TABLES
from penstock.state.writing import write, writer


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_a_row_written_again_replaces_the_one_of_its_key(kind: type[Row], tmp_path: Path) -> None:
    engine = writer(tmp_path / "state.db")
    with engine.connect() as connection, connection.begin():
        TABLES[kind].create(connection)
        for _ in range(2):
            write(connection, kind, [sample(kind)])
        found = connection.execute(TABLES[kind].select()).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [
        tuple(getattr(sample(kind), name) for name in kind.__struct_fields__)
    ]


def test_a_row_that_no_column_takes_does_not_keep_up_the_others(tmp_path: Path) -> None:
    engine = writer(tmp_path / "state.db")
    rows = [Seen("s", "a", 1), Seen("s", "b\udcff", 1 << 70), Seen("s", "c", 3)]
    with engine.connect() as connection, connection.begin():
        TABLES[Seen].create(connection)
        write(connection, Seen, rows)
        found = connection.execute(TABLES[Seen].select().order_by("event_id")).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [("s", "a", 1), ("s", "b?", (1 << 63) - 1), ("s", "c", 3)]


def test_any_number_of_rows_is_written_whole(tmp_path: Path) -> None:
    engine = writer(tmp_path / "state.db")
    with engine.connect() as connection, connection.begin():
        TABLES[Seen].create(connection)
        for count in (1, 7, 8, 63, 64, 65, 200):
            write(connection, Seen, [Seen("s", f"{count}-{number}", number) for number in range(count)])
            found = connection.execute(
                TABLES[Seen].select().where(TABLES[Seen].c.event_id.startswith(f"{count}-"))
            )
            assert sorted(row.offset for row in found) == list(range(count))
    engine.dispose()
