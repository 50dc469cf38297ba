"""Every failure we understand, and what should happen next.

A failure we do not understand stays a plain exception: it crashes loudly, is
redelivered, and ends among the dead letters with its cause for a person to read.

The docstring of each leaf is its default message and is written for whoever reads
it on a page or in an alert. `docs/errors.md` is generated from this file.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar


class Layer(StrEnum):
    """Where the failure was understood."""

    VALIDATION = "validation"  #: the input or the request is at fault
    CONTEXT = "context"  #: a part we lean on (store, broker, settings) did not answer
    RESOURCE = "resource"  #: memory, disk, a device or a quota ran out
    EXECUTION = "execution"  #: the work itself (decoder, model) failed


class Severity(StrEnum):
    """Cloud Logging severities, so a log line needs no translation."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


Detail = str | int | float | bool | None


class EarwitnessError(Exception):
    """A failure whose place, weight and remedy are known.

    Subclasses state all three in their class header; forgetting one is a TypeError
    at import. `code` is the class name in snake_case: it stands in results, HTTP
    errors and metrics and never changes once released.
    """

    layer: ClassVar[Layer]
    severity: ClassVar[Severity]
    retryable: ClassVar[bool]
    code: ClassVar[str]

    def __init_subclass__(cls, *, layer: Layer, severity: Severity, retryable: bool) -> None:
        cls.layer, cls.severity, cls.retryable = layer, severity, retryable
        cls.code = "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__).lstrip("_")

    def __init__(self, message: str = "", **context: Detail) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))
        self.context = context


def leaves(
    family: type[EarwitnessError] = EarwitnessError,
) -> Iterator[type[EarwitnessError]]:
    """Every declared failure below `family`, in the order of declaration."""
    for child in family.__subclasses__():
        yield child
        yield from leaves(child)


class RefusedAudio(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """This recording cannot be heard. Check the file and upload it again."""


class EmptyAudio(RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False):
    """The file is empty. Upload it again once it has been written completely."""


class NotAudio(RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False):
    """The file holds no audio, whatever its name says. Upload a sound or video file."""


class UnsupportedAudio(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """This container or codec is not heard. Convert it to WAV, FLAC, MP3, Ogg, M4A or WebM."""


class DamagedAudio(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """The header is cut short or broken and no sound can be read. Export the file again."""


class NoAudioTrack(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """The video has no audio track. Upload a file that has one."""


class UnusualSignal(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """More than 8 channels, or a sample rate outside 4 to 384 kHz. Convert the file first."""


class AudioTooLong(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """The recording is longer than the tenant's tier allows. Split it or raise the tier."""


class AudioTooLarge(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """The file is larger than the tenant's tier allows. Compress or split it, or raise the tier."""


class ReferencesElsewhere(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """The file is a playlist or refers to other files. Upload the sound itself."""


class DecoderLimit(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """Decoding took more memory or time than a file of this kind may. Convert it to WAV or FLAC."""


class OutsideTenantFolder(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """The object does not lie in a tenant's folder. Name it uploads/{tenant}/{file}."""


class UnknownTenant(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """No tenant has this name. Create it with `earwitness tenants set NAME --tier free`."""


class InvalidWish(RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False):
    """A setting in the upload's metadata is not understood. Correct it and upload again."""


class ResidencyKept(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """This tenant's data may not leave, so it cannot agree to engines elsewhere; nothing was
    changed. Lift its residency first: `earwitness tenants set NAME --residency off`."""


class InvalidProfile(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """The profile cannot be used; nothing was changed. Correct each line named here."""


class InvalidRequest(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """The request is not understood. Compare it with the API description."""


class InvalidEvent(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """An event is not understood; it is settled and nothing was changed. Look at what sends it."""


class InvalidSettings(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.CRITICAL, retryable=False
):
    """The settings are wrong. Correct each one named here and start again."""


class InvalidCalibration(
    InvalidSettings, layer=Layer.CONTEXT, severity=Severity.CRITICAL, retryable=False
):
    """A calibration file cannot be read. Fit it again with `earwitness calibrate`, or remove it."""


class InvalidReference(
    InvalidRequest, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """A transcript to calibrate with cannot be read. Write it again in UTF-8, or take it away."""


class TooLittleToCalibrate(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """There is too little, or too little that is wrong, to learn from. Add recordings."""


class NotFound(EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """There is nothing under this id. List what there is with `earwitness ls`."""


class Forbidden(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """This request may not be made from there. Open the page itself, or use an API key."""


class ForeignHost(Forbidden, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False):
    """The request is for a name that is none of this gateway's. On its own machine open
    http://127.0.0.1 with the right port; elsewhere its operator names it in
    EARWITNESS_PUBLIC_HOSTS."""


class WrongState(EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """The recording is in a state in which this cannot be done."""


class AddressUsed(EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """This upload address was used already. Ask for a new one."""


class ExtensionRefused(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """The tenant's tier does not keep a recording so long. Ask for a sooner end."""


class InvalidSeal(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.CRITICAL, retryable=False
):
    """A seal of the audit log was changed. Run `earwitness audit verify`, and keep what it says."""


class NotCompressible(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """The original stays as it came: FLAC could not bring it back byte for byte."""


class UnderHold(WrongState, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """It is under hold and nothing of it is deleted. `earwitness release ID` lets it go."""


class NotErased(EarwitnessError, layer=Layer.EXECUTION, severity=Severity.ERROR, retryable=True):
    """A store still has what was deleted from it, so there is no receipt. It is tried again."""


class ErasedBefore(RefusedAudio, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """This content was erased on request. `earwitness add --again` has it heard all the same."""


class CorrectionOutdated(
    WrongState, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """Somebody corrected this meanwhile. Load it again and correct what stands there now."""


class UnplacedCorrection(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """A corrected stretch lies across others. Name one that stands there, or a gap between them."""


class StaleLease(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.WARNING, retryable=False):
    """Another worker holds this job now; nothing was written."""


class ForgedTicket(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """The push carries no valid token of ours and was not looked at."""


class KeysUnavailable(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True
):
    """The keys that tokens are verified with cannot be had now. Asking again will help."""


class IdentityUnavailable(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True
):
    """Nobody vouches for this process now, so it cannot call the GPU service. Try again."""


class SignerUnavailable(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True
):
    """Nothing can be signed now, so receipts and seals wait. Trying again will help."""


class ServiceUnreachable(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True
):
    """The GPU service does not answer. Try again in a moment; `earwitness doctor` looks further."""


class ServiceSilent(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True):
    """The GPU service took too long. Send less sound, or upload it with POST /v1/uploads."""


class InvalidApiKey(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """There is no valid API key with this request. Make one with `earwitness keys new`."""


class ExpiredApiKey(
    InvalidApiKey, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """This API key's time is over. Make another one with `earwitness keys new`."""


class ScopeOutsideRole(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """The key's role does not have all of these scopes. Name fewer, or another role."""


class ModelNotFound(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """No engine has this name. List them with GET /v1/models."""


class StoreUnavailable(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True
):
    """The store did not answer in time. The work waits and is tried again."""


class DiskFull(EarwitnessError, layer=Layer.RESOURCE, severity=Severity.CRITICAL, retryable=True):
    """The disk is full. Free some space; what waits goes on by itself."""


class BrokerUnavailable(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True
):
    """The broker did not confirm. The message stays in the outbox and is sent later."""


class ServiceFull(EarwitnessError, layer=Layer.RESOURCE, severity=Severity.INFO, retryable=True):
    """Every place is taken. The ticket comes again; nobody has lost an attempt."""


class OverQuota(EarwitnessError, layer=Layer.RESOURCE, severity=Severity.INFO, retryable=True):
    """A limit of the tenant's UTC day (files or seconds) is used up. Come back tomorrow, or raise
    the tier or the limit."""


class DecoderDied(EarwitnessError, layer=Layer.EXECUTION, severity=Severity.ERROR, retryable=True):
    """The decoder died while reading this recording."""


class EngineUnavailable(
    EarwitnessError, layer=Layer.EXECUTION, severity=Severity.ERROR, retryable=True
):
    """The engine could not answer."""


class BreakerOpen(
    EngineUnavailable, layer=Layer.CONTEXT, severity=Severity.WARNING, retryable=True
):
    """The engine failed or was slow too often and is left alone for a while; nothing was asked."""


class TaskTimedOut(
    EngineUnavailable, layer=Layer.EXECUTION, severity=Severity.WARNING, retryable=True
):
    """The time that the tenant's profile gives this task was over."""


class OutOfMemory(EngineUnavailable, layer=Layer.RESOURCE, severity=Severity.ERROR, retryable=True):
    """The engine's memory does not hold this, even alone. Give it more, or take a smaller model."""


class DeviceUnavailable(
    EngineUnavailable, layer=Layer.RESOURCE, severity=Severity.ERROR, retryable=True
):
    """The GPU the engine is set to is absent or failed. Set `device` to cpu, or repair the GPU."""


#: In the context of an EngineUnavailable: others met the same, so it is not the sound's fault.
OUTAGE = "outage"


class EngineDied(EarwitnessError, layer=Layer.EXECUTION, severity=Severity.ERROR, retryable=True):
    """The engine's process died while it listened to this recording."""


class VendorFailure(
    EngineUnavailable, layer=Layer.EXECUTION, severity=Severity.ERROR, retryable=True
):
    """The engine's vendor failed, or the line to it. It is tried again in the next attempt."""


class VendorTimedOut(VendorFailure, layer=Layer.EXECUTION, severity=Severity.ERROR, retryable=True):
    """The engine's vendor did not answer in time. The call counts as paid."""


class VendorBusy(VendorFailure, layer=Layer.EXECUTION, severity=Severity.WARNING, retryable=True):
    """The engine's vendor wants fewer calls a minute. Lower the concurrency or raise the limit."""


class VendorKeyRefused(
    VendorFailure, layer=Layer.EXECUTION, severity=Severity.CRITICAL, retryable=False
):
    """The engine's vendor refused our API key. Check the key, its project and its permissions."""


class VendorCreditSpent(
    VendorFailure, layer=Layer.EXECUTION, severity=Severity.CRITICAL, retryable=False
):
    """The account at the engine's vendor has no credit left. Add some, or raise its limit."""


class VendorRefusedCall(
    VendorFailure, layer=Layer.EXECUTION, severity=Severity.ERROR, retryable=False
):
    """The engine's vendor refused this call. Check the model's name and what it takes."""


class VendorAnswerUnreadable(
    VendorFailure, layer=Layer.EXECUTION, severity=Severity.ERROR, retryable=True
):
    """The engine's vendor answered something that is no answer. The call counts as paid."""


class PaidCallWithheld(
    EngineUnavailable, layer=Layer.EXECUTION, severity=Severity.WARNING, retryable=True
):
    """The engine costs money that may not be spent on this recording now."""


class UnknownPrice(
    InvalidSettings, layer=Layer.CONTEXT, severity=Severity.CRITICAL, retryable=False
):
    """Nobody has said what this model costs, so it is not called. Name it in `prices`."""


class WeightsRefused(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.CRITICAL, retryable=False
):
    """The model's files are missing or not the ones pinned here. Nothing was loaded."""


class LibraryMissing(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.CRITICAL, retryable=False
):
    """This kind of engine needs torch. Run `make env-models`, or set EARWITNESS_MODELS_PYTHON."""


class SandboxUnavailable(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.CRITICAL, retryable=False
):
    """No sandbox can be had here for the decoder, so the service does not start.

    Set EARWITNESS_ALLOW_UNSANDBOXED=1 to decode without one, for files you trust.
    """


class PartNotStarted(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.CRITICAL, retryable=False
):
    """A part of Earwitness did not start. Its log says why; `earwitness doctor` looks further."""


class EmulatorMissing(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.WARNING, retryable=False
):
    """One of Google's emulators is not installed here, so the cloud's parts cannot be run."""


class EmulatorStopped(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.CRITICAL, retryable=False
):
    """One of Google's emulators stopped, and what it held is gone. Start Earwitness again."""


class NotRunning(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.INFO, retryable=False):
    """No Earwitness runs here. Start it with `earwitness up` in another window, then ask again."""


class AlreadyRunning(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.WARNING, retryable=False
):
    """Earwitness is running here already. Use that one, or stop it first."""


class BackupRefused(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.ERROR, retryable=False
):
    """This is no backup that can be restored here. Nothing was changed."""


class InvalidStream(
    InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """The first message of a stream is not understood. Compare it with the description."""


class GarbageInStream(
    InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """A frame of the stream is no sound of the declared kind. Check encoding and channels."""


class UnexpectedText(
    InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """Text came where sound was expected. Send binary frames, and {"type": "end"} at the end."""


class StreamTooLong(
    InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """The stream is longer than one may be here. Begin another one."""


class StreamIdle(InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """Nothing was sent for too long. Go on with the resume token."""


class SlowReader(InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """The answers were not read in time. Go on with the last resume token that came."""


class ResumeLost(InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """What was heard of this stream is gone. Begin a new one from the sample named here."""


class TooManyStreams(EarwitnessError, layer=Layer.RESOURCE, severity=Severity.INFO, retryable=True):
    """Every place for a stream is taken. Try again in a moment."""


class ServiceStopping(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.INFO, retryable=True):
    """This instance stops. Another one answers; go on there with the resume token."""


class AudioTooShort(
    RefusedAudio, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """The sound is too short to be judged so. Send more of it, or only have it transcribed."""


class NoEngineSet(InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """No engine is set for this. Name one in EARWITNESS_CASCADE__ and the task."""


class ExportOver(EarwitnessError, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False):
    """This export is over: a day has passed, or something in it was erased. Ask for a new one."""


class ImportRefused(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.ERROR, retryable=False
):
    """This is no export that can be imported here. Nothing was changed."""
