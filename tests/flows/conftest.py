"""What every flow runs on: the embedded store, in memory."""

import pytest

from shared.domain.tenants import Tier
from tests.builders import NOW
from tests.contracts.conftest import sqlite_in_memory


@pytest.fixture
def store(tmp_path):
    made = sqlite_in_memory(tmp_path)
    made.tenants.ensure("acme", Tier.FREE, NOW)
    return made
