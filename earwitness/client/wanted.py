"""What an upload asks for, in the API's words."""

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from earwitness.client.sources import Source
from shared.domain.api import Wanted
from shared.errors import InvalidRequest


def wanted(
    source: Source,
    tenant: str | None,
    wishes: Mapping[str, str | None],
    metadata: Mapping[str, str],
    questions: Sequence[str] = (),
) -> Wanted:
    """The body of `POST /v1/uploads`; wishes that are None are left to the gateway.

    Raises:
        InvalidRequest: the gateway would refuse it; nothing was sent.
    """
    said = {key: value for key, value in wishes.items() if value is not None}
    known = {"tenant": tenant} if tenant is not None else {}
    try:
        return Wanted(
            name=source.name,
            size=source.size_bytes,
            content_type=source.content_type,
            metadata={**metadata, **said},
            questions=list(questions),
            **known,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(f"{first['loc'][0]}: {first['msg']}.") from error
