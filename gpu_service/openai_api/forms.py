"""A multipart body, spooled to disk while it is counted."""

from collections.abc import AsyncGenerator

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from shared.errors import InvalidRequest, Layer, Severity

#: Bytes around the file: boundaries, headers of parts, a prompt, and room.
OVERHEAD = 64 << 10
#: Fields of one form; a legal request has some twenty.
MAX_FIELDS = 64
#: Bytes of one field that is no file: `asked.MAX_PROMPT` in UTF-8.
MAX_FIELD = 16 << 10
REMEDY = "Upload it with POST /v1/uploads: there it may be hours long, and nobody has to wait."


class BodyTooLarge(InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """The request is larger than this address takes. Upload the file with POST /v1/uploads."""


class NoForm(InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """The body is no multipart/form-data. Send the sound as its field `file`."""


async def form(request: Request, max_bytes: int) -> tuple[list[tuple[str, str]], UploadFile]:
    """The fields and the one file of a request; the file lies on disk, the caller closes it.

    Raises:
        BodyTooLarge: more than `max_bytes` of file came, or were announced; reading stopped.
        NoForm, InvalidRequest: there is no form, no file, or more than one.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "multipart/form-data":
        raise NoForm
    body = counted(request, max_bytes + OVERHEAD)
    parser = MultiPartParser(
        request.headers, body, max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD
    )
    try:
        items = (await parser.parse()).multi_items()
    except MultiPartException as error:
        raise InvalidRequest(f"The form cannot be read: {error.message}") from error
    fields = [(name, value) for name, value in items if isinstance(value, str)]
    return fields, _the_file(items, max_bytes)


def _the_file(items: list[tuple[str, UploadFile | str]], max_bytes: int) -> UploadFile:
    files = [(name, value) for name, value in items if isinstance(value, UploadFile)]
    for name, file in files:
        if name == "file" and (file.size or 0) <= max_bytes:
            return file
        file.file.close()
        if name == "file":
            raise BodyTooLarge(f"A file here has at most {max_bytes:,} bytes. {REMEDY}")
    raise InvalidRequest("There is no sound: send it as the field `file`.", param="file")


async def counted(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes; raises BodyTooLarge when more than `most` bytes came."""
    claimed = request.headers.get("content-length", "0")
    if claimed.isdecimal() and int(claimed) > most:
        raise BodyTooLarge
    count = 0
    async for part in request.stream():
        count += len(part)
        if count > most:
            raise BodyTooLarge
        yield part
