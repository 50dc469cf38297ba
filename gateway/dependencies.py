"""What routes ask for: the parts of this process, one recording, one tenant."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from gateway.callers import Calling, own
from shared.domain.names import TENANT
from shared.domain.recording import Recording
from shared.domain.states import State
from shared.errors import NotFound
from shared.wiring import Parts

#: Characters. Ids are 32; longer ones are not looked up.
MAX_ID = 64


def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Wired = Annotated[Parts, Depends(parts_of)]
RecordingId = Annotated[str, Path(max_length=MAX_ID, description="The recording's id.")]
_TenantName = Annotated[
    str | None,
    Query(
        pattern=f"^{TENANT.pattern}$",
        description="Only this tenant's; all that the key opens if left out.",
    ),
]


def tenant_of(caller: Calling, tenant: _TenantName = None) -> str | None:
    """Whose things to list.

    Raises:
        NotFound: another's than the key's.
    """
    return own(caller, tenant)


#: None means all tenants; only whoever sits at the machine, without a key, may ask for that.
TenantName = Annotated[str | None, Depends(tenant_of)]


def recording_or_tombstone(
    request: Request, recording_id: RecordingId, parts: Wired, caller: Calling
) -> Recording:
    """As `recording_of`, also of a recording that is erased: for who erases it again.

    Raises:
        NotFound: as there.
    """
    found = parts.recordings.get(recording_id)
    if found is None or not caller.may_see(found.tenant):
        raise NotFound
    request.state.about = found  # for the log of actions
    return found


def recording_of(
    request: Request, recording_id: RecordingId, parts: Wired, caller: Calling
) -> Recording:
    """The recording the path names.

    Raises:
        NotFound: there is none, it is erased, or it is another tenant's than the key's.
    """
    found = recording_or_tombstone(request, recording_id, parts, caller)
    if found.state is State.ERASED:
        raise NotFound
    return found


AnyRecording = Annotated[Recording, Depends(recording_or_tombstone)]
OneRecording = Annotated[Recording, Depends(recording_of)]
