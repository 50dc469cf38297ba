"""The table of measurements and the view everybody reads: one file each, for code and Terraform.

Pub/Sub writes the rows (terraform/stack/measurements.tf: a BigQuery subscription of the topic
`inference-metrics` that uses the table's schema; the service agent of Pub/Sub has
roles/bigquery.dataEditor on the table). Nothing of ours writes to it; readers have
roles/bigquery.dataViewer and roles/bigquery.jobUser. Emulator: bqemulator, which takes table
and view, and rows only from a bridge.
"""

import json
from importlib.resources import files
from string import Template
from typing import Any

TABLE, VIEW = "inference_metrics", "measurements"


def columns() -> list[dict[str, Any]]:
    """name, type, mode and description of each column.

    Source: BigQuery, "Specifying a schema", JSON schema file.
    """
    loaded: list[dict[str, Any]] = json.loads(_schema("inference_metrics.json"))
    return loaded


def view(table: str) -> str:
    """The query that drops doubles; `table` is project.dataset.table."""
    return Template(_schema("measurements.sql")).substitute(table=table)


def _schema(name: str) -> str:
    return files("shared").joinpath("schemas", name).read_text(encoding="utf-8")
