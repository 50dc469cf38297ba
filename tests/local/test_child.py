"""One process of the three, and how several functions live in one of them."""

import subprocess
import sys
from pathlib import Path

from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from local import child
from local.supervisor import SETTLED

CHECKOUT = Path(__file__).parents[2]


@Request.application
def app(request):
    return Response(f"{request.script_root} {request.path}")


def test_each_function_answers_below_its_name_with_or_without_a_slash():
    client = Client(child.mounted({"/reconcile": app}))

    assert client.post("/reconcile/").text == "/reconcile /"
    assert client.post("/reconcile").text == "/reconcile /"
    assert client.post("/").status_code == 404
    assert client.post("/reconciler").status_code == 404


def test_functions_framework_serves_our_entry_points(home):
    """In a process of its own: the framework loads the archive's modules by their short names."""
    script = """
from werkzeug.test import Client
from local import child
from local.cloud_events import storage_finalized
from tests.builders import upload
client = Client(child.mounted(child.applications()))
event = storage_finalized(upload(name="elsewhere/x.wav"))
for name in child.entry_points()[:1]:
    print(client.post(f"/{name}/", headers=dict(event.headers), data=event.body).status_code)
print(client.post("/reconcile/", data=b"{}").status_code)
from shared.wiring import from_environment
print([r.error.code for r in from_environment().recordings.page()])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.split() == ["200", "204", "['outside_tenant_folder']"], done.stderr


def test_part_with_wrong_settings_says_so_and_is_settled(home, monkeypatch):
    monkeypatch.setenv("EARWITNESS_SLOTS", "none")
    command = [sys.executable, "-m", "local.child", "service", "--port", "1"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == SETTLED
    assert " CRITICAL earwitness.child The settings are wrong:" in done.stderr
    assert "EARWITNESS_SLOTS" in done.stderr
