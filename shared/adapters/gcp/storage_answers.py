"""Cloud Storage's answers and errors in our words, and how long we wait for them."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.api_core.exceptions import NotFound as Missing
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import Blob
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.exceptions import RequestException

from shared.domain.permits import kept
from shared.domain.recording import UploadedObject
from shared.errors import NotFound, StoreUnavailable

#: Seconds to connect, and between two bytes of an answer.
TIMEOUT_S = (5.0, 20.0)
#: Seconds all tries of one request may take together. Waits double from 1 s (the client's own).
PATIENCE_S = 30.0


def patience(seconds: float = PATIENCE_S) -> dict[str, Any]:
    """How long to wait, as every call of the client takes it."""
    return {"timeout": TIMEOUT_S, "retry": DEFAULT_RETRY.with_timeout(seconds)}


@contextmanager
def answered(missing: str | None = None) -> Iterator[None]:
    """Translate the client's errors.

    Args:
        missing: what to say of a 404; None where only the bucket itself can be missing, which
            is a fault of the deployment and will be mended.

    Raises:
        NotFound: as said. StoreUnavailable: anything else; a missing role too, for IAM takes
            minutes and nothing is wrong with the work.
    """
    try:
        yield
    except Missing as error:
        if missing is None:
            raise StoreUnavailable(detail="no such bucket") from error
        raise NotFound(missing) from error
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        raise StoreUnavailable(detail=type(error).__name__) from error
    except (DataCorruption, InvalidResponse) as error:
        raise StoreUnavailable(detail=type(error).__name__) from error


def of_blob(blob: Blob) -> UploadedObject:
    """What a client's object knows, in our words."""
    return UploadedObject(
        bucket=blob.bucket.name,
        name=blob.name,
        generation=int(blob.generation),
        size_bytes=int(blob.size),
        content_type=blob.content_type or "application/octet-stream",
        metadata=tuple(sorted(kept(blob.metadata or {}).items())),
        created_at=blob.time_created,
        digests=_md5(blob.md5_hash),
    )


def of_resource(resource: Mapping[str, Any]) -> UploadedObject:
    """An object resource, as notifications carry it.

    Source: Cloud Storage JSON API, "Objects"; 64-bit numbers are strings. Notifications:
    "Pub/Sub notifications for Cloud Storage", payload JSON_API_V1.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is none.
    """
    return UploadedObject(
        bucket=resource["bucket"],
        name=resource["name"],
        generation=int(resource["generation"]),
        size_bytes=int(resource["size"]),
        content_type=resource.get("contentType") or "application/octet-stream",
        metadata=tuple(sorted(kept(resource.get("metadata") or {}).items())),
        created_at=datetime.fromisoformat(resource["timeCreated"]),
        digests=_md5(resource.get("md5Hash")),
    )


def _md5(base64_md5: str | None) -> tuple[str, ...]:
    """What the bucket knows of the content; of one that was composed it knows none."""
    return (f"md5:{base64.b64decode(base64_md5).hex()}",) if base64_md5 else ()
