"""How each incident is brought about, and how it is ended: each a context that lasts as long as the incident."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import assert_never

from tokenkeep.adapters.demo_provider import DemoProvider, Fault
from tokenkeep.cli.demonstration.api import DemoApi
from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.incidents import Incident
from tokenkeep.cli.premises import Removable
from tokenkeep.domain.secret import Secret

_UNAVAILABLE = Fault(status=503, body="{}", times=None)
_SILENCE_MS = 300_000
"""Longer than anybody waits for a token endpoint."""
_INVALID_GRANT = Fault(status=400, body='{"error": "invalid_grant"}', times=None)


@dataclass(frozen=True, slots=True)
class Scene:
    """Where it happens.

    Attributes:
        provider: The demo's provider.
        api: The API, as an operator uses it.
        source_id: The provider's source.
        valkey: What can be taken away; None where Redis is somebody else's.
        tell: Says what is done.
    """

    provider: DemoProvider
    api: DemoApi
    source_id: str
    valkey: Removable | None
    tell: Callable[[str], None]


def trouble(incident: Incident, scene: Scene, *, leaving: frozenset[str]) -> AbstractAsyncContextManager[None]:
    """The incident. `leaving` are the users who really take their grant back meanwhile."""
    match incident:
        case Incident.OUTAGE:
            return _outage(scene)
        case Incident.SECRET_ROTATED:
            return _secret_rotated(scene)
        case Incident.MASS_REVOCATION:
            return _mass_revocation(scene, leaving)
        case Incident.REDIS_DOWN:
            return _redis_down(scene)
        case _:
            assert_never(incident)


@asynccontextmanager
async def _outage(scene: Scene) -> AsyncIterator[None]:
    """As outages are: some requests are answered by a gateway, others by nobody."""
    for grant in scene.provider.grants()[::2]:
        scene.provider.inject(Fault(user=grant.user, delay_ms=_SILENCE_MS, drop=True, times=None))
    scene.provider.inject(_UNAVAILABLE)
    try:
        yield
    finally:
        scene.provider.clear_faults()
    scene.tell("the provider's token endpoint works again")


@asynccontextmanager
async def _secret_rotated(scene: Scene) -> AsyncIterator[None]:
    secret = Secret(secrets.token_urlsafe(32))
    scene.provider.rotate_client_secret(secret)
    yield
    scene.tell(f"PATCH /v1/sources/{scene.source_id} with the new client secret")
    await scene.api.replace_secret(scene.source_id, secret)


@asynccontextmanager
async def _mass_revocation(scene: Scene, leaving: frozenset[str]) -> AsyncIterator[None]:
    scene.provider.inject(_INVALID_GRANT)
    for name in sorted(leaving):
        grant = scene.provider.active_grant(name)
        if grant is not None:
            scene.provider.revoke_grant(grant.id)
    try:
        yield
    finally:
        scene.provider.clear_faults()
    scene.tell("the provider knows its users again")
    if await scene.api.is_paused(scene.source_id):
        scene.tell(f"POST /v1/sources/{scene.source_id}/resume, without confirming the revocations")
        await scene.api.resume(scene.source_id)


@asynccontextmanager
async def _redis_down(scene: Scene) -> AsyncIterator[None]:
    if scene.valkey is None:
        msg = "there is no embedded Valkey to take away"
        raise DemoFailure(msg)
    async with scene.valkey.away():
        yield
        scene.tell("Valkey is started again")
