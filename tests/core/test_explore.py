"""Looking into databases: what is there, and that nothing can be changed, reached or run for ever."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import notebook
import pytest

from core import explore
from core.errors import InputError, StoreUnusableError, UnknownNameError
from core.explore import databases, describe, query, rows
from core.settings import output_folder

DATABASE = "notebook.db"


@pytest.fixture(autouse=True)
def notes() -> None:
    for number in range(5):
        notebook.add(f"Note {number}", count=number, price=number / 4, details={"n": number})


@pytest.fixture
def articles() -> str:
    """A database with a full-text index, as the news have one."""
    path = output_folder() / "articles.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT);"
            "CREATE VIRTUAL TABLE articles_text USING fts5(title, content='articles', content_rowid='id');"
            "INSERT INTO articles (title) VALUES ('ECB holds rates'), ('Fed \"may\" cut'), ('Rates rise - again');"
            "INSERT INTO articles_text (rowid, title) SELECT id, title FROM articles;"
            "CREATE VIEW titles AS SELECT title FROM articles;"
        )
    connection.close()
    return path.name


def test_an_absent_folder_has_no_databases_and_is_not_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_HOME", str(home / "elsewhere"))
    assert databases() == []
    assert not (home / "elsewhere").exists()


def test_databases_and_their_tables_are_listed_with_columns_and_counts() -> None:
    assert databases() == [DATABASE]
    [table] = describe(DATABASE)
    assert (table.name, table.is_view, table.rows, table.searchable) == ("notes", False, 5, False)
    assert table.columns == {"id": "INTEGER", "words": "TEXT", "count": "INTEGER", "price": "REAL", "details": "TEXT"}


def test_an_empty_file_is_no_database_without_tables() -> None:
    (output_folder() / "hollow.db").touch()
    with pytest.raises(StoreUnusableError, match=r"hollow\.db is an empty file"):
        describe("hollow.db")


def test_a_table_with_an_index_is_searchable_and_its_inner_tables_are_hidden(articles: str) -> None:
    found = {table.name: table for table in describe(articles)}
    assert set(found) == {"articles", "articles_text", "titles"}
    assert found["articles"].searchable
    assert found["titles"].is_view
    assert found["titles"].rows == 3


def test_rows_come_newest_first_and_by_what_they_contain() -> None:
    assert rows(DATABASE, "notes").table["words"].tolist() == [f"Note {number}" for number in (4, 3, 2, 1, 0)]
    assert rows(DATABASE, "notes", newest_first=False, skip=3).table["count"].tolist() == [3, 4]
    assert rows(DATABASE, "notes", contains="note 3").table["count"].tolist() == [3]
    assert rows(DATABASE, "notes", contains="%").table.empty


def test_a_search_finds_words_and_takes_signs_as_they_are(articles: str) -> None:
    assert rows(articles, "articles", search="rates").table["title"].tolist() == [
        "ECB holds rates",
        "Rates rise - again",
    ]
    assert rows(articles, "articles", search='"may').table["title"].tolist() == ['Fed "may" cut']
    assert rows(articles, "articles", search="rise - NOT").table.empty
    with pytest.raises(InputError, match="no full-text index"):
        rows(DATABASE, "notes", search="note")


def test_a_statement_of_ones_own() -> None:
    found = query(DATABASE, "SELECT count(*) AS n, avg(price) AS mean FROM notes WHERE count > 1")
    assert found.table.to_dict("records") == [{"n": 3, "mean": 0.75}]
    assert not found.more
    twice = query(DATABASE, "SELECT a.id, b.id FROM notes a JOIN notes b USING (id) LIMIT 1").table
    assert list(twice.columns) == ["id", "id (2)"]
    recursive = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 9) SELECT max(x) AS m FROM n"
    assert query(DATABASE, recursive).table["m"].tolist() == [9]


def test_more_rows_than_are_shown_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore, "MOST_ROWS", 3)
    found = query(DATABASE, "SELECT * FROM notes")
    assert (len(found.table), found.more) == (3, True)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM notes",
        "UPDATE notes SET words = 'x'",
        "INSERT INTO notes (words) VALUES ('x')",
        "DROP TABLE notes",
        "CREATE TEMP TABLE t AS SELECT * FROM notes",
        "ATTACH DATABASE '/etc/passwd' AS other",
        "VACUUM INTO '/tmp/copy.db'",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "SELECT load_extension('x')",
        "WITH t AS (SELECT 1) DELETE FROM notes",
        "EXPLAIN DELETE FROM notes",
        "UPDATE sqlite_master SET sql = ''",
        "REPLACE INTO notes (id, words) VALUES (1, 'x')",
        "BEGIN IMMEDIATE",
        "COMMIT",
    ],
)
def test_nothing_can_be_changed_or_reached(sql: str) -> None:
    before = (output_folder() / DATABASE).read_bytes()
    with pytest.raises(InputError):
        query(DATABASE, sql)
    assert len(notebook.words()) == 5
    assert (output_folder() / DATABASE).read_bytes() == before


@pytest.mark.parametrize(
    "sql", ["", "   ", "SELEC 1", "SELECT nothing FROM notes", "SELECT 1; SELECT 2", "SELECT ?", "-- only words"]
)
def test_what_sqlite_does_not_understand_is_a_sentence(sql: str) -> None:
    with pytest.raises(InputError) as refused:
        query(DATABASE, sql)
    assert refused.value.cure


def test_a_statement_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore, "MOST_SECONDS", 0.05)
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(InputError, match=r"longer than 0\.05 s"):
        query(DATABASE, endless)


@pytest.mark.parametrize("name", ["../notebook.db", "/etc/passwd", "other.db", ".new~x.db"])
def test_a_database_is_named_never_a_path(name: str) -> None:
    with pytest.raises(UnknownNameError):
        query(name, "SELECT 1")
    with pytest.raises(UnknownNameError):
        describe(name)


def test_an_unknown_table_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'notes'"):
        rows(DATABASE, "nots")


def test_what_is_no_database_is_told() -> None:
    (output_folder() / "text.db").write_text("this is no database, however long the text may be" * 30)
    with pytest.raises(StoreUnusableError, match=r"text\.db cannot be read"):
        describe("text.db")
