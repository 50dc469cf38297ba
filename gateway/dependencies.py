"""What routes ask for: the parts of this process, one recording, one tenant."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from shared.domain.names import TENANT
from shared.domain.recording import Recording
from shared.errors import NotFound
from shared.wiring import Parts

#: Characters. Ids are 32; longer ones are not looked up.
MAX_ID = 64


def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Wired = Annotated[Parts, Depends(parts_of)]
RecordingId = Annotated[str, Path(max_length=MAX_ID, description="The recording's id.")]
#: None means all tenants; that is allowed on 127.0.0.1 only, where nobody needs a key.
TenantName = Annotated[
    str | None,
    Query(pattern=f"^{TENANT.pattern}$", description="Only this tenant's; all if left out."),
]


def recording_of(recording_id: RecordingId, parts: Wired) -> Recording:
    """The recording the path names.

    Raises:
        NotFound: there is none.
    """
    found = parts.recordings.get(recording_id)
    if found is None:
        raise NotFound
    return found


OneRecording = Annotated[Recording, Depends(recording_of)]
