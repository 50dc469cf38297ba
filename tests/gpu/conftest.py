"""The engines on an NVIDIA GPU: the claims of `tests/models`, in the types a GPU is used with."""

from importlib.util import find_spec

import pytest

#: Nothing here can be imported without torch.
collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all as `gpu`, and skip them with their reason where there is none."""
    if not find_spec("torch"):
        return
    import torch

    for item in items:
        if "tests/gpu/" in item.nodeid:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="gpu: there is no CUDA device here"))
