from tests.flows.conftest import store  # noqa: F401  # the embedded parts
