"""Which release of a library answers; part of what a cached result depends on."""

from importlib.metadata import PackageNotFoundError, version


def installed(package: str) -> str:
    """Its version, or "absent": an engine is described where its libraries need not be."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def computed(dtype: str) -> str:
    """The type a torch model computes in under the setting `dtype`; see checkpoints.dtype_of."""
    return "float32" if dtype == "int8" else dtype
