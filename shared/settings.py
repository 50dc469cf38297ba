"""One Settings object; every field says what it does. Only wiring and the edges read it.

Built on msgspec: the functions start in half the time they need with pydantic-settings
(5 ms against 70 ms of imports), and P8 counts them.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta, Struct, field

from shared.domain import policies
from shared.domain.cascade import MIN_COVERAGE, Policy, Uncalibrated
from shared.domain.names import TENANT
from shared.domain.tenants import Tier
from shared.errors import InvalidSettings

PREFIX = "EARWITNESS_"


class LogFormat(StrEnum):
    TEXT = "text"  #: a line for people
    JSON = "json"  #: a line for Cloud Logging


class Traces(StrEnum):
    NONE = "none"
    CONSOLE = "console"  #: one JSON line a span, on stderr
    OTLP = "otlp"  #: Cloud Trace, or where OTEL_EXPORTER_OTLP_ENDPOINT says


class Backend(StrEnum):
    EMBEDDED = "embedded"
    GCP = "gcp"


def default_home() -> Path:
    """`./.earwitness` in a checkout, else `~/.local/share/earwitness`."""
    if Path("pyproject.toml").exists() and Path("local/cli").exists():
        return Path(".earwitness").resolve()
    return Path("~/.local/share/earwitness").expanduser()


def _absolute(path: Path) -> Path:
    return path.expanduser().resolve()


class Cascade(Struct, frozen=True, forbid_unknown_fields=True):
    """Engines per task, first choice first."""

    transcribe: Annotated[list[str], Meta(description="Engines that write down speech.")] = field(
        default_factory=lambda: ["whisper"]
    )
    classify: Annotated[list[str], Meta(description="Engines that name sounds; may be empty.")] = (
        field(default_factory=lambda: ["sounds"])
    )
    describe: Annotated[list[str], Meta(description="Engines that describe what is heard.")] = (
        field(default_factory=list)
    )
    answer: Annotated[list[str], Meta(description="Engines that answer questions.")] = field(
        default_factory=list
    )
    embed: Annotated[list[str], Meta(description="Engines that make features to search by.")] = (
        field(default_factory=list)
    )
    align: Annotated[
        list[str], Meta(description="Engines that place words in time, one a language.")
    ] = field(default_factory=list)


Positive = Annotated[float, Meta(gt=0)]
#: A number and its unit, as the seeds write it: "30s".
DURATION = r"^[0-9]+(\.[0-9]+)?(ms|s|m)$"
#: A host's name as browsers send it, with a port where that is not 443.
HOST = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$"
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0}


class Settings(Struct, frozen=True, kw_only=True):
    """Read from EARWITNESS_* variables and a .env file; nested names with two underscores."""

    home: Annotated[
        Path,
        Meta(
            description="Folder of everything kept on one machine: store, uploads, results, keys."
        ),
    ] = field(default_factory=default_home)
    backend: Annotated[Backend, Meta(description="Where state lives: embedded or gcp.")] = (
        Backend.EMBEDDED
    )
    project: Annotated[
        str, Meta(description="Google Cloud project; GOOGLE_CLOUD_PROJECT says it too.")
    ] = ""
    uploads_bucket: Annotated[
        str, Meta(description="Bucket that recordings are dropped into, under uploads/{tenant}/.")
    ] = ""
    results_bucket: Annotated[str, Meta(description="Bucket that results are written to.")] = ""
    archive_bucket: Annotated[
        str, Meta(description="Bucket that originals are kept in as FLAC, under archive/{tenant}/.")
    ] = ""
    audit_bucket: Annotated[
        str, Meta(description="Bucket that seals of the audit log are written to, once each.")
    ] = ""
    temp_bucket: Annotated[
        str, Meta(description="Bucket whose objects live for a day; plans of exports lie there.")
    ] = ""
    firestore_database: Annotated[
        str, Meta(min_length=1, description="Firestore database of all metadata.")
    ] = "(default)"
    topic_prefix: Annotated[
        str, Meta(description="Written before the name of every Pub/Sub topic, such as `staging-`.")
    ] = ""
    arrivals_subscription: Annotated[
        str,
        Meta(
            min_length=3,
            description="Pull subscription to the uploads bucket's second notification, which"
            " `reconcile` compares with the recordings.",
        ),
    ] = "upload-arrivals"
    metrics_dataset: Annotated[
        str, Meta(min_length=1, description="BigQuery dataset of the measurements.")
    ] = "earwitness"
    emulators: Annotated[
        Path | None,
        Meta(description="Environment with Google's emulators; .venv-emulators if unset."),
    ] = None
    tenants: Annotated[
        dict[Annotated[str, Meta(pattern=f"^{TENANT.pattern}$")], Tier],
        Meta(
            description="Tenants that are made where they are missing, by `reconcile`, and the tier"
            ' each begins with: {"acme": "pro"}. What `tenants set` changed later, stays.'
        ),
    ] = field(default_factory=dict)
    outer_bound_days: Annotated[
        int,
        Meta(
            ge=0,
            le=365,
            description="Days after an erasure until the platform itself has forgotten, too, as"
            " receipts state it: the longest of what buckets, database, messages and logs keep."
            " Terraform says it in the cloud (terraform/stack/forgetting.tf); on one machine"
            " nothing is kept behind.",
        ),
    ] = 0
    archive_after_days: Annotated[
        Annotated[int, Meta(ge=1, le=3650)] | None,
        Meta(
            description="Days after which an uncompressed original is FLAC at the latest, from"
            " which it comes back byte for byte; empty or null = never."
        ),
    ] = 30
    cascade: Annotated[Cascade, Meta(description="Engines per task, first choice first.")] = field(
        default_factory=Cascade
    )
    accept_at: Annotated[
        dict[str, dict[str, float]],
        Meta(
            description="Calibrated confidence, 0 to 1, from which an answer stands, by task and"
            ' engine: {"transcribe": {"whisper": 0.85, "*": 0.9}}; * is every other engine of the'
            " task. 0.80 where nothing is said. It never meets an uncalibrated score."
        ),
    ] = field(default_factory=dict)
    uncalibrated: Annotated[
        Uncalibrated,
        Meta(
            description="What becomes of answers of engines nobody calibrated: accept-and-mark,"
            " escalate (ask the next engine; the last one's is for review) or review."
        ),
    ] = Uncalibrated.ACCEPT_AND_MARK
    min_coverage: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of a segment's seconds of speech that the words of an answer must"
            " account for; below it the next engine is asked.",
        ),
    ] = MIN_COVERAGE
    degrade_after_s: Annotated[
        dict[str, float],
        Meta(
            description="Seconds a job may wait in its lane, by lane, after which engines that cost"
            ' money are asked first where its tenant has agreed to them: {"high": 60, "low": 7200}.'
            " A lane that is left out never does so."
        ),
    ] = field(default_factory=dict)
    synthesis: Annotated[
        dict[str, Any],
        Meta(
            description="How one answer is made of several engines': {strategy, weights, quality,"
            " conflict_at}. strategy: highest-confidence, latest or weighted; weights by engine;"
            " quality: calibrated confidence below which an answer is left out; conflict_at: share"
            " of differing words from which two sure engines are in conflict."
        ),
    ] = field(default_factory=dict)
    engines: Annotated[
        dict[str, dict[str, Any]],
        Meta(
            description="Engines by name: {kind, checkpoint, revision, device, dtype ...};"
            " added to the built-in whisper, sounds and echo."
        ),
    ] = field(default_factory=dict)
    slots: Annotated[
        int,
        Meta(ge=1, le=256, description="Jobs the GPU service works on at once; the rest waits."),
    ] = 8
    decoders: Annotated[int, Meta(ge=1, le=32, description="Decoder processes kept warm.")] = 2
    lease_s: Annotated[
        float,
        Meta(gt=0, description="Seconds a worker may be silent before its job is taken back."),
    ] = 60.0
    ticket_s: Annotated[
        float,
        Meta(
            gt=0,
            le=590,
            description="Seconds of work on one ticket; then checkpoint and hand over. Push"
            " answers within 600 s.",
        ),
    ] = 480.0
    retry_base_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds before the second attempt; each further wait is 4 times it.",
        ),
    ] = 2.0
    allow_unsandboxed: Annotated[
        bool,
        Meta(description="Decode without a sandbox where none can be had. For trusted files only."),
    ] = False
    max_seconds: Annotated[
        Positive | None,
        Meta(description="Longest recording for every tenant, whatever its tier says."),
    ] = None
    weights: Annotated[
        Path | None,
        Meta(
            description="Folder of assembled model weights; ~/.cache/earwitness/weights if unset."
        ),
    ] = None
    calibrations: Annotated[
        Path | None,
        Meta(
            description="Folder of calibrations of your own, which win over the shipped ones;"
            " HOME/calibrations if unset."
        ),
    ] = None
    openai_api_key: Annotated[
        str,
        Meta(
            description="Key for OpenAI; with one there is an engine called openai. Also as"
            " OPENAI_API_KEY."
        ),
    ] = ""
    qwen_endpoint: Annotated[
        str,
        Meta(
            pattern="^(https?://.+)?$",
            description="Base URL of an OpenAI-compatible server"
            " (such as vLLM) that serves Qwen2-Audio; with one there is an engine called qwen."
            " Also as QWEN_ENDPOINT.",
        ),
    ] = ""
    qwen_api_key: Annotated[
        str, Meta(description="Key for QWEN_ENDPOINT, if it wants one. Also as QWEN_API_KEY.")
    ] = ""
    qwen_model_version: Annotated[
        str, Meta(min_length=1, description="Model that QWEN_ENDPOINT is asked for.")
    ] = "Qwen/Qwen2-Audio-7B-Instruct"
    qwen_batch_size: Annotated[
        int, Meta(ge=1, le=256, description="Calls to QWEN_ENDPOINT at once.")
    ] = 10
    qwen_timeout: Annotated[
        str,
        Meta(
            pattern=DURATION,
            description="How long QWEN_ENDPOINT may be silent in a call: 500ms, 30s, 2m.",
        ),
    ] = "30s"
    qwen_max_retries: Annotated[
        int, Meta(ge=0, le=10, description="Tries after a failed call to QWEN_ENDPOINT.")
    ] = 3
    engine_idle_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds without a call after which an engine leaves the memory;"
            " 0 = it stays.",
        ),
    ] = 900.0
    engine_memory_mb: Annotated[
        Positive | None,
        Meta(
            description="Megabytes all engines may hold on each device (the CPU is one);"
            " idle ones leave for others. Unbounded if unset."
        ),
    ] = None
    batch_memory_mb: Annotated[
        Positive,
        Meta(
            description="Megabytes one call of a local engine may take beside its model; how much"
            " sound that is was measured at its warm-up."
        ),
    ] = 1_000.0
    models_python: Annotated[
        Path | None,
        Meta(
            description="Python with torch, for the engines that need it;"
            " .venv-models/bin/python beside the checkout if unset."
        ),
    ] = None
    streams: Annotated[
        int, Meta(ge=1, le=1024, description="Live streams at once; others are told to wait.")
    ] = 32
    stream_s: Annotated[
        float, Meta(gt=0, description="Seconds of sound in one live stream; then another begins.")
    ] = 3_600.0
    stream_idle_s: Annotated[
        float, Meta(gt=0, description="Seconds a live stream may send nothing.")
    ] = 60.0
    stream_resume_s: Annotated[
        float,
        Meta(
            ge=0, description="Seconds a live stream is kept for its client after the line broke."
        ),
    ] = 60.0
    analysis_seconds: Annotated[
        dict[str, tuple[float, float]],
        Meta(
            description="Shortest and longest sound of POST /v1/analyses by operation, in seconds;"
            " operations that are left out take any that the audio API takes."
        ),
    ] = field(
        default_factory=lambda: dict.fromkeys(("classify", "describe", "answer"), (5.0, 300.0))
    )
    analysis_accept_at: Annotated[
        float, Meta(ge=0, le=1, description="Calibrated confidence that accepts an analysis.")
    ] = 0.85
    analysis_files: Annotated[
        int, Meta(ge=1, le=256, description="Files in one request for analyses.")
    ] = 16
    worker: Annotated[str, Meta(description="Name of this worker in leases; unique a process.")] = (
        ""
    )
    log_format: Annotated[
        LogFormat | None,
        Meta(description="How the log is written: text or json; json on Cloud Run if unset."),
    ] = None
    traces: Annotated[
        Traces,
        Meta(
            description="Where spans go: none, console, or otlp (Cloud Trace, or the collector"
            " that OTEL_EXPORTER_OTLP_ENDPOINT names)."
        ),
    ] = Traces.NONE
    broker_url: Annotated[str, Meta(description="Where messages are published on one machine.")] = (
        ""
    )
    service_url: Annotated[str, Meta(description="Where the GPU service answers.")] = ""
    push_issuer: Annotated[
        str, Meta(description="Who signs push tokens; local/ signs its own.")
    ] = "https://accounts.google.com"
    push_audience: Annotated[str, Meta(description="The audience push tokens must carry.")] = (
        "earwitness"
    )
    push_email: Annotated[str, Meta(description="The identity push tokens must carry.")] = ""
    push_subject: Annotated[
        str, Meta(description="The subject (unique id) push tokens must carry.")
    ] = ""
    gateway_email: Annotated[
        str, Meta(description="The identity the gateway calls the GPU service with.")
    ] = ""
    gateway_subject: Annotated[
        str, Meta(description="The subject (unique id) of the gateway's identity.")
    ] = ""
    operator_email: Annotated[
        str, Meta(description="The identity that may load and unload engines.")
    ] = ""
    operator_subject: Annotated[
        str, Meta(description="The subject (unique id) of that identity.")
    ] = ""
    signing_key: Annotated[
        Path | None,
        Meta(
            description="Private key (PEM) that the gateway proves its identity with on one"
            " machine; unset, Google vouches for it."
        ),
    ] = None
    signing_kms_key: Annotated[
        str,
        Meta(
            pattern="^(projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+"
            "/cryptoKeyVersions/[0-9]+)?$",
            description="Version of the Cloud KMS key (EC_SIGN_ED25519) that signs receipts and"
            " seals in the cloud, by its full name; one machine has a key of its own in HOME/keys.",
        ),
    ] = ""
    api_max_seconds: Annotated[
        Positive, Meta(description="Longest sound the synchronous audio API hears.")
    ] = 1500.0
    api_max_bytes: Annotated[
        int,
        Meta(
            ge=1,
            le=31 << 20,
            description="Largest file the synchronous audio API takes; Cloud Run ends a request"
            " at 32 MiB.",
        ),
    ] = 25 << 20
    keys_required: Annotated[
        bool | None,
        Meta(description="Whether the gateway asks for API keys; unset, only in the cloud."),
    ] = None
    public_hosts: Annotated[
        list[Annotated[str, Meta(pattern=HOST)]],
        Meta(
            description="Names the gateway is reached by over https, besides this machine's own:"
            " on Cloud Run its host, such as gateway-abc.run.app. Requests for another name are"
            " refused, and with any of them keys are asked for."
        ),
    ] = field(default_factory=list)
    webhooks_private: Annotated[
        bool,
        Meta(
            description="Webhooks may be at this machine's own and its network's private addresses,"
            " and there over http. For trying things out on one machine; refused in the cloud."
        ),
    ] = False
    push_keys: Annotated[
        str,
        Meta(description="JSON Web Key Set that verifies push tokens: an https URL or a file."),
    ] = "https://www.googleapis.com/oauth2/v3/certs"
    viewer_audience: Annotated[
        str,
        Meta(
            description="The audience of Identity-Aware Proxy's assertions, such as"
            " /projects/4711/locations/europe-west4/services/gateway; with one, whoever signed in"
            " there needs no key."
        ),
    ] = ""
    viewer_keys: Annotated[
        str,
        Meta(description="JSON Web Key Set that verifies those: an https URL or a file."),
    ] = "https://www.gstatic.com/iap/verify/public_key-jwk"


#: What has no default in the cloud.
NEEDED_IN_CLOUD = (
    "project",
    *("uploads_bucket", "results_bucket", "archive_bucket", "temp_bucket", "audit_bucket"),
)
#: Names of the seeds and the vendors, and the setting each one is.
VENDORS = {
    name: name.lower()
    for name in (
        "OPENAI_API_KEY",
        "QWEN_API_KEY",
        "QWEN_BATCH_SIZE",
        "QWEN_ENDPOINT",
        "QWEN_MAX_RETRIES",
        "QWEN_MODEL_VERSION",
        "QWEN_TIMEOUT",
    )
}
#: Google's own name of a setting of ours, and the vendors' names.
ALIASES = {"GOOGLE_CLOUD_PROJECT": "project", **VENDORS}

FIELDS = {f.name: f for f in msgspec.structs.fields(Settings)}


def descriptions() -> dict[str, str]:
    """What each setting does, by name."""
    parts = {name: getattr(f.type, "__metadata__", ()) for name, f in FIELDS.items()}
    return {name: " ".join(m.description or "" for m in meta) for name, meta in parts.items()}


def load(**given: Any) -> Settings:
    """Read the settings; `given` wins over variables, variables over the .env file.

    Raises:
        InvalidSettings: every wrong value is named, each with what was expected.
    """
    said = {**_from(_env_file()), **_from(os.environ)}
    said |= {k: v for k, v in given.items() if v is not None}
    wrong: list[str] = []
    values = {name: _value(name, raw, wrong) for name, raw in said.items()}
    wrong += _unfit(values) + _unjust(values)
    if wrong:
        raise InvalidSettings("The settings are wrong:\n  " + "\n  ".join(wrong))
    settings = Settings(**values)
    return msgspec.structs.replace(settings, home=_absolute(settings.home))


def _unfit(values: Mapping[str, Any]) -> list[str]:
    """What each value alone does not show: a backend that does not fit the place or the rest."""
    backend = values.get("backend", Backend.EMBEDDED)
    if backend is Backend.GCP:
        missing = [name for name in NEEDED_IN_CLOUD if not values.get(name)]
        unset = [f"{PREFIX}{name.upper()} is not set; the backend gcp needs it" for name in missing]
        return unset + _open_to_all(values) + _open_inside(values)
    if "K_SERVICE" in os.environ and backend is Backend.EMBEDDED:
        # It would silently write into the container's memory.
        return [f"{PREFIX}BACKEND is not gcp and this is Cloud Run; set it to gcp"]
    return []


def _unjust(values: Mapping[str, Any]) -> list[str]:
    """Every mistake in what says when an answer stands."""
    said = {name: values[name] for name in policies.FIELDS if values.get(name) is not None}
    return [f"{PREFIX}{name.upper()}: {wrong}" for name, wrong in policies.mistakes(said)]


def policy(settings: Settings) -> Policy:
    """When an answer stands, for everybody without a profile of its own."""
    return policies.policy({name: getattr(settings, name) for name in policies.FIELDS})


def _open_to_all(values: Mapping[str, Any]) -> list[str]:
    """A gateway on Cloud Run has no loopback address that keeps strangers out."""
    if "K_SERVICE" in os.environ and values.get("keys_required") is False:
        return [f"{PREFIX}KEYS_REQUIRED is false and this is Cloud Run; leave it unset"]
    return []


def _open_inside(values: Mapping[str, Any]) -> list[str]:
    """In the cloud a tenant's URL would lead to what only our own identity may reach."""
    if values.get("webhooks_private"):
        return [f"{PREFIX}WEBHOOKS_PRIVATE is true and the backend is gcp; leave it unset"]
    return []


def seconds(duration: str) -> float:
    """The seconds of "500ms", "30s" or "2m"."""
    number = duration.rstrip("ms")
    return float(number) * _UNITS_S[duration[len(number) :]]


def sources(settings: Settings) -> dict[str, str]:
    """Where each value comes from: environment, .env, given or default."""
    in_environment, in_file = _from(os.environ), _from(_env_file())
    fresh = Settings()

    def source(name: str) -> str:
        if name in in_environment:
            return "environment"
        if name in in_file:
            return ".env"
        return "default" if getattr(settings, name) == getattr(fresh, name) else "given"

    return {name: source(name) for name in FIELDS}


def _env_file() -> Mapping[str, str | None]:
    if not Path(".env").is_file():
        return {}
    from dotenv import dotenv_values  # read only where there is such a file

    return dotenv_values(".env")


def _from(variables: Mapping[str, str | None]) -> dict[str, Any]:
    """Our settings among `variables`, nested names gathered; others are not ours."""
    found: dict[str, Any] = {ALIASES[k]: v for k, v in variables.items() if k in ALIASES and v}
    for key, raw in variables.items():
        name, _, inner = key.upper().removeprefix(PREFIX).lower().partition("__")
        if not key.upper().startswith(PREFIX) or name not in FIELDS or raw is None:
            continue
        if inner:
            found[name] = {**(found.get(name) or {}), inner: raw}
        else:
            found[name] = raw
    return found


def _value(name: str, raw: Any, wrong: list[str]) -> Any:
    """The value of one setting, or a line in `wrong`."""
    wanted = FIELDS[name].type if name in FIELDS else None
    try:
        if wanted is None:
            raise msgspec.ValidationError("there is no such setting")
        return msgspec.convert(_parsed(wanted, raw), wanted, strict=False, dec_hook=_custom)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        said = name.upper() if name.upper() in VENDORS else f"{PREFIX}{name.upper()}"
        wrong.append(f"{said}: {error}")
        return None


def _parsed(wanted: Any, raw: Any) -> Any:
    """Lists and mappings are written as JSON; so are the parts of a nested setting. An empty
    variable unsets what may be unset."""
    kind = getattr(wanted, "__origin__", wanted)
    if raw == "" and type(None) in get_args(kind):
        return None
    if isinstance(raw, dict):
        return {k: _json(v) if isinstance(v, str) else v for k, v in raw.items()}
    structured = kind is Cascade or getattr(kind, "__origin__", kind) in (dict, list)
    return _json(raw) if isinstance(raw, str) and structured else raw


def _json(text: str) -> Any:
    return msgspec.json.decode(text)


def _custom(kind: type, raw: Any) -> Any:
    """Types msgspec does not know: paths."""
    if kind is Path and isinstance(raw, str | Path):
        return Path(raw)
    raise msgspec.ValidationError(f"expected a {kind.__name__}")
