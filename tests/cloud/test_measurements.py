"""Rows against the one schema file, and the table and its view on the BigQuery emulator."""

from datetime import datetime
from uuid import uuid4

import pytest
from google.api_core.exceptions import InternalServerError
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from local.emulated.emulators import PROJECT
from shared.adapters.gcp.bigquery_measurements import TABLE, VIEW, columns, view
from shared.domain.measured import measurements
from tests.builders import NOW
from tests.domain.test_testimony import heard, said, testimony
from tests.emulators import reached

#: What JSON may hold for each type of column.
JSON_TYPES = {
    "STRING": (str,),
    "INTEGER": (int,),
    "FLOAT": (float, int),
    "TIMESTAMP": (datetime,),
}


def rows():
    made = measurements(testimony([said(0, "a"), said(1, "b", 20.0)], [heard(0)]), NOW)
    assert len(made) == 2
    return [message.body for message in made]


def check(row):
    """Fails unless BigQuery would take the row: types, what is required, no field besides."""
    known = {column["name"]: column for column in columns()}
    required = {name for name, column in known.items() if column["mode"] == "REQUIRED"}
    assert set(row) <= set(known), "a column is missing in the schema file"
    assert required <= {name for name, value in row.items() if value is not None}
    for name, value in row.items():
        wanted = known[name]["type"]
        read = datetime.fromisoformat(value) if wanted == "TIMESTAMP" else value
        assert read is None or type(read) in JSON_TYPES[wanted], name


def test_every_row_fits_the_schema():
    for row in rows():
        check(row)


def test_each_column_says_what_it_is():
    assert all(column["description"].endswith(".") for column in columns())
    assert len({column["name"] for column in columns()}) == len(columns())


@pytest.fixture
def table(bigquery_emulator, monkeypatch):
    reached(bigquery_emulator, monkeypatch)
    client = bigquery.Client(PROJECT, AnonymousCredentials())
    dataset = client.create_dataset(f"d{uuid4().hex[:12]}")
    schema = [bigquery.SchemaField.from_api_repr(column) for column in columns()]
    made = bigquery.Table(dataset.table(TABLE), schema)
    made.time_partitioning = bigquery.TimePartitioning(field="at")
    made.clustering_fields = ["engine", "task"]
    seen = bigquery.Table(dataset.table(VIEW))
    seen.view_query = view(f"{PROJECT}.{dataset.dataset_id}.{TABLE}")
    table = client.create_table(made)
    client.create_table(seen)
    yield Measurements(client, table)
    client.close()


class Measurements:
    def __init__(self, client, table):
        self.client, self.table = client, table

    def insert(self, row):
        return self.client.insert_rows_json(self.table, [row], row_ids=[row["event_id"]])

    def seen(self, what, name=VIEW):
        query = f"SELECT {what} FROM `{PROJECT}.{self.table.dataset_id}.{name}`"
        return [tuple(row) for row in self.client.query(query).result()]


def test_the_table_takes_every_row_and_the_view_drops_doubles(table):
    first, second = rows()

    for row in (first, first, second):
        assert table.insert(row) == []

    assert table.seen("COUNT(*)") == [(2,)]
    assert sorted(table.seen("engine")) == [("e",), ("s",)]
    assert table.seen("SUM(segments)") == [(3,)]


def test_the_emulator_ignores_insert_ids_so_that_the_view_is_all_there_is(table):
    """A known fault; production drops doubles for a minute. See docs/unproved.md."""
    first, _ = rows()

    table.insert(first)
    table.insert(first)

    assert table.seen("COUNT(*)", TABLE) == [(2,)]


def test_the_emulator_takes_a_row_without_what_is_required(table):
    """A known fault, and why the rows are checked against the schema here."""
    assert table.insert(rows()[0] | {"engine": None}) == []


def test_the_emulator_has_no_words_for_a_row_of_another_type(table):
    """A known fault: 500, where production names the row and its error."""
    row = rows()[0] | {"segments": "many"}

    with pytest.raises(InternalServerError):
        table.client.insert_rows_json(table.table, [row], retry=None)

    assert table.seen("COUNT(*)", TABLE) == [(0,)]
