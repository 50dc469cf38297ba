"""One functions process that is told of uploads, too often and in no order. Run by tests.

    python -m tests.semantics.taking EVENTS SEED

EVENTS holds one JSON object a line: headers and body of a CloudEvent. Each is delivered 1 to
5 times, all of it shuffled, through the framework's own app. Prints the answers' statuses.
"""

import json
import random
import sys
from pathlib import Path

from functions_framework import create_app

import functions.main as source


def main(events: str, seed: str) -> None:
    chance = random.Random(int(seed))
    told = [json.loads(line) for line in Path(events).read_text().splitlines()]
    deliveries = [event for event in told for _ in range(chance.randint(1, 5))]
    chance.shuffle(deliveries)
    app = create_app("on_audio_uploaded", str(Path(source.__file__)), "cloudevent")
    client = app.test_client()
    statuses = [client.post("/", headers=e["headers"], data=e["body"]).status for e in deliveries]
    print(json.dumps(statuses))


if __name__ == "__main__":
    main(*sys.argv[1:])
