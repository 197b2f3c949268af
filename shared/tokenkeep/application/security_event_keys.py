"""The keys that providers sign security event tokens with, as they publish them."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.first_answers import RETRY_S, AskOnce
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.errors import ProviderUnavailable
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, TokenRequest

_OK: Final = 200
_FRESH_FOR_S: Final = 3_600.0
# Whoever sends tokens that name made-up keys makes us ask no more often than this.
_REST_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """An issuer, and its keys as a set of JWKs (RFC 7517). Public, all of it."""

    issuer: str
    keys: Mapping[str, Any] = field(repr=False)

    def has(self, key_id: str) -> bool:
        """Whether one of the keys is this one."""
        return any(isinstance(key, dict) and key.get("kid") == key_id for key in self.keys["keys"])


@dataclass(slots=True)
class _Kept:
    """What was published at last, and when it was looked at, whatever came of it."""

    asked_at: float | None = None
    failed: bool = False
    published: PublishedKeys | None = None
    had_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SecurityEventKeys:
    """Keeps what providers publish: for an hour, and less where a token names a key that is not among it.

    A provider is asked once a minute at most, by one call for all that wait. What is kept is used on while it can't be had.
    """

    def __init__(self, ask: AskOnce, clocks: Clocks) -> None:
        self._ask = ask
        self._clocks = clocks
        self._kept: dict[str, _Kept] = {}

    async def __call__(self, configuration_url: str, key_id: str) -> PublishedKeys | None:
        """What is published there, with this key in it; None: the provider knows no such key.

        Raises:
            ProviderUnavailable: Nobody can tell, for the moment.
        """
        kept = self._kept.setdefault(configuration_url, _Kept())
        # Whoever names a key that is here does not wait for those who make up others.
        if self._is_wanting(kept, key_id):
            async with kept.lock:
                if self._is_wanting(kept, key_id) and self._may_ask(kept):
                    await self._look(kept, configuration_url)
        if kept.published is not None and kept.published.has(key_id):
            return kept.published
        if kept.failed:
            raise ProviderUnavailable(FailureReason.NETWORK_ERROR, retry_after=RETRY_S, maybe_used=False)
        return None

    def _is_wanting(self, kept: _Kept, key_id: str) -> bool:
        if kept.published is None or not kept.published.has(key_id):
            return True
        return self._clocks.loop_time() - kept.had_at > _FRESH_FOR_S

    def _may_ask(self, kept: _Kept) -> bool:
        if kept.asked_at is None:
            return True
        rest_s = RETRY_S if kept.failed else _REST_S
        return self._clocks.loop_time() - kept.asked_at > rest_s

    async def _look(self, kept: _Kept, configuration_url: str) -> None:
        kept.asked_at = self._clocks.loop_time()
        try:
            configuration = await self._document(configuration_url)
            issuer, address = configuration.get("issuer"), configuration.get("jwks_uri")
            keys = await self._document(address) if isinstance(address, str) else {}
        except ProviderUnavailable:
            kept.failed = True
            return
        if not isinstance(issuer, str) or not isinstance(keys.get("keys"), list):
            kept.failed = True
            return
        kept.published, kept.failed, kept.had_at = PublishedKeys(issuer, keys), False, self._clocks.loop_time()

    async def _document(self, url: str) -> Mapping[str, Any]:
        answer = await self._ask(TokenRequest(url, {"accept": "application/json"}, Secret(""), "GET"))
        if not isinstance(answer, Answer) or answer.status != _OK:
            raise ProviderUnavailable(FailureReason.MALFORMED_RESPONSE, retry_after=RETRY_S, maybe_used=False)
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise ProviderUnavailable(FailureReason.MALFORMED_RESPONSE, retry_after=RETRY_S, maybe_used=False)
        return document
