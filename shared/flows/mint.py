"""tenant -> secret -> kept digest: an API key, told to whoever asked for it and never again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.api_keys import ENTROPY_BYTES, ApiKey, Grant, minted
from shared.errors import NotFound, UnknownTenant, WrongState
from shared.ports import ApiKeys, Clock, Tenants


@dataclass(frozen=True, slots=True)
class Mint:
    """Repeating makes another key: of the first one only a digest is left."""

    tenants: Tenants
    api_keys: ApiKeys
    now: Clock
    entropy: Callable[[int], bytes]  #: so many secret bytes

    def __call__(
        self, tenant: str, grant: Grant, name: str, life: timedelta | None = None
    ) -> tuple[str, ApiKey]:
        """The key, and what is kept of it; without a `life` it lives until it is revoked.

        Raises:
            UnknownTenant: nobody is called so.
        """
        if self.tenants.get(tenant) is None:
            raise UnknownTenant
        now = self.now()
        while True:  # an id of 48 bits may be taken
            text, key = self._minted(tenant, grant, name, now, life)
            if self.api_keys.add(key):
                return text, key

    def rotate(
        self, key_id: str, overlap: timedelta, life: timedelta | None = None
    ) -> tuple[str, ApiKey, ApiKey]:
        """A new key of the same rights, the one it replaces, and the secret; both open meanwhile.

        The old key ends after `overlap`, or sooner if it was to. The new one lives for `life`, else
        for as long as the old one was made for.

        Not safe to repeat, and so it is refused: the first time's secret was told once.

        Raises:
            NotFound: there is no such key.
            WrongState: it was rotated already, was revoked, or its time is over.
        """
        while True:
            now, known = self.now(), self.api_keys.get(key_id)
            if known is None:
                raise NotFound("No key has this id.")
            _open(known, now)
            life = life or known.life
            text, new = self._minted(known.tenant, known.grant, known.name, now, life)
            old = known.ends(now + overlap)
            if self.api_keys.rotate(old, new):
                return text, new, self.api_keys.get(known.id) or old

    def _minted(
        self, tenant: str, grant: Grant, name: str, now: datetime, life: timedelta | None
    ) -> tuple[str, ApiKey]:
        secret, ends = self.entropy(ENTROPY_BYTES), now + life if life else None
        return minted(tenant, grant, name, now, secret, ends)


def _open(known: ApiKey, now: datetime) -> None:
    if known.revoked_at is not None:
        raise WrongState("This key was revoked. Make another one with `earwitness keys new`.")
    if known.rotated_to is not None:
        ends = f" and ends on {known.expires_at:%Y-%m-%d at %H:%M} UTC" if known.expires_at else ""
        raise WrongState(
            f"This key was rotated already: {known.rotated_to} takes its place{ends}. That key was"
            " told once; where it is lost, rotate that one."
        )
    if known.expired(now):
        raise WrongState("This key's time is over. Make another one with `earwitness keys new`.")
