"""The messages that leave a commit: tickets, announcements, measurements."""

import hashlib
from datetime import datetime

from shared.domain.lanes import Lane
from shared.domain.recording import LANE_TOPIC, Failure, Message, Recording, Topic
from shared.domain.trace import TRACEPARENT


def event_id(recording_id: str, kind: str, seq: int) -> str:
    """The same happening always has the same id, so that consumers can drop doubles."""
    return hashlib.sha256(f"{recording_id}/{kind}/{seq}".encode()).hexdigest()[:32]


def attributes(message: Message) -> dict[str, str]:
    """What travels beside the body, so that a trace goes on where the message arrives."""
    return {TRACEPARENT: message.trace} if message.trace else {}


def ticket(recording_id: str, lane: Lane, seq: int, trace: str | None = None) -> Message:
    """Work waits in this lane. Names no job on purpose (DESIGN section 4)."""
    body: dict[str, str | int | float | bool | None] = {"v": 1, "lane": lane.value}
    unique = event_id(recording_id, "ticket", seq)
    return Message(LANE_TOPIC[lane], recording_id, body, unique, trace)


def announcement(recording: Recording, kind: str, at: datetime, seq: int) -> Message:
    """`recording-events`: what happened to a recording, for webhooks and pages."""
    unique = event_id(recording.id, kind, seq)
    return Message(
        Topic.EVENTS,
        recording.id,
        {
            "v": 1,
            "event_id": unique,
            "type": f"recording.{kind}",
            "recording_id": recording.id,
            "tenant": recording.tenant,
            "at": at.isoformat(),
            "seq": seq,
        },
        unique,
        recording.trace,
    )


def dead_letter(recording: Recording, cause: Failure, at: datetime, seq: int) -> Message:
    """`jobs-dead`: this job is out of attempts; a person decides."""
    unique = event_id(recording.id, "dead-letter", seq)
    return Message(
        Topic.JOBS_DEAD,
        recording.id,
        {
            "v": 1,
            "event_id": unique,
            "recording_id": recording.id,
            "tenant": recording.tenant,
            "at": at.isoformat(),
            "code": cause.code,
            "message": cause.message,
        },
        unique,
        recording.trace,
    )
