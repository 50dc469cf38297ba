from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of models for all tests; assembling it takes half a second."""
    return tmp_path_factory.mktemp("models")
