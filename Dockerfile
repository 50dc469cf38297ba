# The two services. Nothing is built in here that is not pinned: the base by its digest, packages by
# their hashes; and no weights, which are mounted.
#
#   docker build --target service --build-arg BASE=python:3.11-slim-bookworm@sha256:... \
#     [--build-arg VARIANT=cpu] .
#   docker build --target gateway --build-arg BASE=python:3.11-slim-bookworm@sha256:... .
#
# BASE is a Debian or Ubuntu with Python 3.11 (its apt brings libseccomp, which locks up the
# decoder). It has no default: one that is written down here is old when it is used.
# VARIANT of the service: cuda (torch, CUDA 12 libraries; some 5 GB) or cpu (Whisper on CPUs).
ARG BASE
ARG VARIANT=cuda

# --- where packages are put together; nothing else of it is shipped ------------------------------
FROM ${BASE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN ["python3.11", "-m", "venv", "/opt/venv"]

FROM builder AS gateway-packages
COPY requirements/gateway.txt .
RUN ["/opt/venv/bin/pip", "install", "--require-hashes", "-r", "gateway.txt"]

FROM builder AS service-cpu-packages
COPY requirements/service.txt .
RUN ["/opt/venv/bin/pip", "install", "--require-hashes", "-r", "service.txt"]

FROM builder AS service-cuda-packages
COPY requirements/service-cuda.txt .
RUN ["/opt/venv/bin/pip", "install", "--require-hashes", "-r", "service-cuda.txt"]

# hadolint ignore=DL3006
FROM service-${VARIANT}-packages AS service-packages

# --- what both ship -------------------------------------------------------------------------------
FROM ${BASE} AS shipped
RUN useradd --uid 10001 --create-home earwitness \
 && install -d -o earwitness -m 0700 /var/lib/earwitness
ENV EARWITNESS_HOME=/var/lib/earwitness \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY shared/ shared/
EXPOSE 8080
STOPSIGNAL SIGTERM

# --- the gateway ----------------------------------------------------------------------------------
FROM shipped AS gateway
COPY --from=gateway-packages /opt/venv /opt/venv
COPY gateway/ gateway/
USER 10001:10001
ENTRYPOINT ["/opt/venv/bin/python", "-m", "gateway"]

# --- the GPU service ------------------------------------------------------------------------------
FROM shipped AS service
# Cloud Run mounts the driver here; CTranslate2 opens libcublas by its name. On CPUs neither is there.
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib64:/opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib
COPY --from=service-packages /opt/venv /opt/venv
COPY gpu_service/ gpu_service/
# Without the library no sandbox could be made, and the service would refuse to start.
RUN ["/opt/venv/bin/python", "-c", "import pyseccomp"]
USER 10001:10001
ENTRYPOINT ["/opt/venv/bin/python", "-m", "gpu_service"]
