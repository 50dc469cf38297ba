"""Tests that load real architectures; they need the environment with torch (`make env-models`)."""

from importlib.util import find_spec

#: Nothing here can be imported without torch, and nothing here is skipped silently one by one.
collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]
