"""Indexes as `firestore_indexes.json` lists them, and as the emulator says it used them.

The emulator answers every query and reports the index that production would refuse it
without: `GET /emulator/v1/projects/…:indexUsage`.
"""

import json
import os
from pathlib import Path
from urllib.request import urlopen

from google.cloud.firestore import Client

from shared.adapters import gcp

FILE = Path(gcp.__file__).with_name("firestore_indexes.json")
#: Collection or group, its name, and the fields with their order.
Index = tuple[str, str, tuple[tuple[str, str], ...]]


def listed() -> set[Index]:
    """The composite indexes of the file."""
    found = json.loads(FILE.read_text())["indexes"]
    return {_index(i["queryScope"], i["collectionGroup"], i["fields"]) for i in found}


def used(client: Client) -> set[Index]:
    """The composite indexes this project's queries needed so far."""
    host, database = os.environ["FIRESTORE_EMULATOR_HOST"], client._database_string
    address = f"http://{host}/emulator/v1/projects/{client.project}:indexUsage?database={database}"
    with urlopen(address) as answer:
        reports = json.load(answer).get("reports", [])
    found = (report["index"] for report in reports)
    named = ((i, i["name"].split("/collectionGroups/")[1].split("/")[0]) for i in found)
    indexes = {_index(i["queryScope"], name, i["fields"]) for i, name in named}
    return {index for index in indexes if len(index[2]) > 1}


def _index(scope: str, collection: str, fields: list[dict[str, str]]) -> Index:
    """Without the document's name at the end: every index has it, in the order before it."""
    ordered = [(f["fieldPath"], f.get("order") or f["arrayConfig"]) for f in fields]
    return scope, collection, tuple(f for f in ordered if f[0] != "__name__")
