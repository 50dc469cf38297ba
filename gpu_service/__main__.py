"""`python -m gpu_service`: the service as its image starts it."""

from gpu_service.main import serve
from shared.container import run

if __name__ == "__main__":
    run(serve)
