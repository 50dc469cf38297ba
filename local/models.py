"""Engines, asked about and for: at the running service, or in a process of our own.

Nothing here imports numpy or a model library before it is asked to.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from local import push_keys
from local.claim import running
from shared.errors import (
    EarwitnessError,
    EngineUnavailable,
    Forbidden,
    InvalidSettings,
    ModelNotFound,
    NotRunning,
)
from shared.ports import Clock
from shared.settings import Backend, Settings
from shared.wiring import gateway_identity

if TYPE_CHECKING:
    from gpu_service.engines.registry import EngineSettings
    from gpu_service.hosting.remote import Host

#: Seconds for an answer: it reads the store once.
TIMEOUT_S = 20.0
#: Seconds of sound that `check` hears.
CHECK_S = 1.0
_LEAVES: Mapping[int, type[EarwitnessError]] = {404: ModelNotFound, 403: Forbidden}

Authorization = Callable[[], str]


class Service:
    """The GPU service's interface for operators."""

    def __init__(self, url: str, authorization: Authorization) -> None:
        self._url, self._authorization = url.rstrip("/"), authorization

    def names(self) -> list[str]:
        """Its engines, sorted. Raises NotRunning: it does not answer."""
        return sorted(self._asked("/readyz")["engines"])

    def status(self, name: str) -> dict[str, Any]:
        """Raises ModelNotFound, NotRunning."""
        return self._asked(f"/status/{name}")

    def wish(self, name: str, verb: str, reason: str) -> dict[str, Any]:
        """`verb` is load or unload; what is wanted now.

        Raises:
            ModelNotFound, Forbidden, NotRunning: nothing was written.
        """
        said = json.dumps({"reason": reason} if reason else {}).encode()
        return self._asked(f"/v1/models/{name}/{verb}", said)

    def _asked(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"content-type": "application/json"}
        if body is not None:
            headers["authorization"] = self._authorization()
        request = urllib.request.Request(self._url + path, body, headers)  # noqa: S310  # http, ours
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            raise _translated(error) from error
        except OSError as error:
            raise NotRunning("The service does not answer. `earwitness doctor` looks.") from error


def service(settings: Settings, now: Clock) -> Service:
    """The service of the stack that serves this HOME, or the one in the cloud.

    Raises:
        NotRunning: there is none. InvalidSettings: we cannot say who we are.
    """
    up = running(settings.home)
    if up is not None:
        who = push_keys.operator(settings.home / "keys", now)
        return Service(up.service, who.authorization)
    if settings.backend is Backend.GCP and settings.service_url:
        return Service(settings.service_url, gateway_identity(settings).authorization)
    raise NotRunning


def configured(settings: Settings) -> dict[str, dict[str, Any]]:
    """What there would be: each engine of the settings as `status` shows one that is absent.

    Raises:
        InvalidSettings: names every wrong entry.
    """
    from gpu_service.engines.registry import build, parse

    found = {}
    for name, engine in parse(settings.engines).items():
        can = build(name, engine, cache=settings.home / "tmp").capabilities()
        found[name] = {
            "engine": name,
            "kind": engine.kind,
            "tasks": sorted(can.tasks),
            "languages": sorted(can.languages) if can.languages is not None else None,
            "versions": can.versions,
            "state": "absent",
            "device": "remote" if can.concurrency > 1 else engine.device,
            "fallback": None,
            "memory_mb": 0.0,
        }
    return found


def check(settings: Settings, name: str) -> dict[str, Any]:
    """Load the engine in a process of its own, hear a second, and say what it took.

    An engine whose calls cost money is not asked.

    Raises:
        ModelNotFound: no such engine. WeightsRefused, LibraryMissing, InvalidSettings,
            EngineDied, EngineUnavailable: it does not work, and why.
    """
    from gpu_service.engines.registry import read

    engines, problems = read(settings.engines)
    mine = [problem for problem in problems if problem.startswith(f"engine {name}:")]
    if mine:
        raise InvalidSettings("\n".join(mine))
    if name not in engines:
        raise ModelNotFound(f"There is no engine called {name}, only {', '.join(engines)}.")
    engine = engines[name].model_copy(update={"warm_up": True})
    host = _host(name, engine, settings)
    try:
        host.start(preload=True)
        return {"engine": name, "kind": engine.kind, "dtype": engine.dtype, **_heard(host)}
    finally:
        host.stop()


def _host(name: str, engine: "EngineSettings", settings: Settings) -> "Host":
    from gpu_service.hosting.host import EngineHost
    from gpu_service.hosting.remote import RemoteHost, is_remote
    from gpu_service.weights import pinned

    cache = pinned.folder(settings)
    if is_remote(name, engine, cache):
        return RemoteHost(name, engine, cache=cache)
    return EngineHost(name, engine, cache=cache, models_python=settings.models_python)


def _heard(host: "Host") -> dict[str, Any]:
    from gpu_service.hosting.warming import warm_clip

    can = host.capabilities()
    task = sorted(can.tasks, key=lambda t: (t.value != "transcribe", t.value))[0]
    said = {} if can.paid else asdict(host.infer(task, [warm_clip(task, CHECK_S)])[0])
    kept = ("text", "seconds", "confidence", "cautions")
    return {
        **asdict(host.status()),
        "tasks": sorted(can.tasks),
        "task": task.value,
        "heard_s": None if can.paid else CHECK_S,
        "answer": {key: said[key] for key in kept} if said else None,
    }


def _translated(error: urllib.error.HTTPError) -> EarwitnessError:
    try:
        message = str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"The service answered {error.code}."
    return _LEAVES.get(error.code, EngineUnavailable)(message)
