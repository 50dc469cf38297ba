"""A real `earwitness up` on Google's emulators, and what one needs to look into them."""

import json
import subprocess

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, firestore, storage

from local.emulated.emulators import BigQuery, Firestore, PubSub, Storage
from local.emulated.project import PROJECT
from shared import wiring
from shared.adapters.gcp import pubsub_clients
from shared.errors import EmulatorMissing
from shared.settings import load
from tests.journeys.running import EARWITNESS, Up

EMULATORS = ("--backend", "gcp", "--emulators")


def missing():
    """What is not installed here, or None."""
    try:
        for emulator in (PubSub(), Firestore(), Storage(), BigQuery()):
            emulator.command(1)
    except EmulatorMissing as error:
        return str(error)
    return None


class Emulated(Up):
    """An `up` on emulators; its parts and clients are Google's, as its note tells."""

    words = EMULATORS

    def start(self):
        super().start()
        self.told = self.note()["environment"]
        with pytest.MonkeyPatch.context() as patches:
            for name, value in self.told.items():
                patches.setenv(name, value)
            self.parts = wiring.parts(load(home=self.home))
            self.files = storage.Client(PROJECT)
            self.tables = bigquery.Client(PROJECT, AnonymousCredentials())
            self.documents = firestore.Client(PROJECT)
            self.subscriber = pubsub_clients.subscriber()
        return self

    def run(self, *words, timeout=60):
        return subprocess.run(
            [EARWITNESS, *words],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def json(self, *words):
        ended = self.run(*words, "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)
