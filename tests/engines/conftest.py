from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.mortal import Gate


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of models for all tests; assembling it takes half a second."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Holds every call of a `Mortal` that was given its port, until the test lets it begin."""
    made = Gate()
    yield made
    made.close()
