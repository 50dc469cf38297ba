"""A service that is full says so to callers on the line, and one that hears says how fast."""

import msgspec
import pytest

from gpu_service.admission import Admission
from gpu_service.openai_api.callers import TENANT_HEADER
from shared.domain.lanes import Lane
from shared.wiring import load_of
from tests.gpu_service import test_tickets
from tests.gpu_service.test_tickets import IDENTITY, authorization, drop, ring
from tests.sounds import tone_wav

service = test_tickets.service


@pytest.fixture
def settings(settings_of_tickets):
    """The one that rings is the gateway here, too."""
    who = {"gateway_email": IDENTITY["push_email"], "gateway_subject": IDENTITY["push_subject"]}
    return msgspec.structs.replace(settings_of_tickets, **who)


settings_of_tickets = pytest.fixture(name="settings_of_tickets")(
    test_tickets.settings.__wrapped__  # the same settings under another name
)


async def transcribe(service, seconds):
    return await service.post(
        "/v1/audio/transcriptions",
        files={"file": ("a.wav", tone_wav(seconds))},
        data={"model": "echo"},
        headers={"authorization": authorization(), TENANT_HEADER: "demo"},
    )


async def test_more_sound_than_there_is_room_for_is_429_with_a_time_to_come_back(service):
    service.house.admission = Admission(10.0)

    async with service.house.admission.take(8.0, Lane.HIGH):
        refused = await transcribe(service, 3.0)
        fits = await transcribe(service, 1.0)
    after = await transcribe(service, 3.0)

    assert (refused.status_code, fits.status_code, after.status_code) == (429, 200, 200)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(refused.headers["retry-after"]) >= 1
    assert service.house.admission.inside_s == 0.0


async def test_an_instance_that_heard_something_says_how_fast_it_hears(service):
    load = load_of(service.house.parts)
    service.house._report()
    assert load._read(service.house.parts.now().timestamp()) is None

    drop(service.house, tone_wav(3.0))
    await ring(service)
    service.house._report()

    backlog = load._read(service.house.parts.now().timestamp())
    assert backlog.rate > 0
    assert backlog.waiting_s == {Lane.HIGH: 0.0, Lane.LOW: 0.0}
