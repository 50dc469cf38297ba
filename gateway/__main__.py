"""`python -m gateway`: the gateway as its image starts it."""

from gateway.main import serve
from shared.container import run

if __name__ == "__main__":
    run(serve)
