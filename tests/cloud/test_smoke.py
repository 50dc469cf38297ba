"""The smoke test of a deployment, on Google's emulators."""

import pytest

from deploy.smoke import NotNoticed, Smoke
from gpu_service.main import create_app
from shared import wiring
from shared.domain.lanes import Lane
from shared.settings import load
from tests.sounds import speech


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "talk.wav"
    path.write_bytes(speech("Good morning."))
    return path


class Day:
    """A clock that moves only when somebody waits; the deployment does its work meanwhile."""

    def __init__(self, *done):
        self.now, self.done = 0.0, list(done)

    def seconds(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds
        if self.done:
            self.done.pop(0)()


def smoke(cloud, day):
    return Smoke(cloud.parts, 60.0, 5.0, day.seconds, day.wait)


async def test_a_drop_into_the_bucket_comes_back_as_a_transcript(cloud, sound):
    settings = load(
        cascade={"transcribe": ["echo"], "classify": []},
        slots=2,
        decoders=1,
        push_email="push@example.com",
        push_subject="1",
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        noticed = lambda: wiring.intake(cloud.parts)(cloud.parts.uploads.page()[0])  # noqa: E731
        heard = lambda: app.state.house.work(list(Lane))  # noqa: E731

        text = smoke(cloud, Day(noticed, heard))(sound, "smoke/1.wav", "echo")

    assert text.startswith("echo")


def test_a_bucket_whose_events_reach_nobody_is_told_apart(cloud, sound):
    with pytest.raises(NotNoticed, match="on_audio_uploaded"):
        smoke(cloud, Day())(sound, "smoke/1.wav", "echo")

    [upload] = cloud.parts.uploads.page()
    assert upload.name == "uploads/smoke/smoke/1.wav"
