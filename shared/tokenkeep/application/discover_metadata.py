"""Fill a source's options from its server's own metadata."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import TokenEndpoints
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.errors import ConnectFailed, InvalidInput, ProviderUnavailable
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.options import DISCOVERY_URL
from tokenkeep.providers.server_metadata import metadata_addresses, read_metadata

_FIELD = f"options.{DISCOVERY_URL}"
_RETRY_S = 5.0
_OK = 200
_TOO_MANY = 429
_INTERNAL = 500


@dataclass(frozen=True, slots=True)
class DiscoverMetadata:
    """One look when a source is made or changed. What the caller says himself outranks what the server says."""

    endpoints: TokenEndpoints
    clocks: Clocks
    deadline: timedelta

    async def __call__(self, options: Mapping[str, Any], *, has_secret: bool) -> Mapping[str, Any]:
        """The options, with those of the metadata where the caller gave none. Unchanged without a `discovery_url`.

        Raises:
            InvalidInput: There is no metadata at the address, or they are not what they must be.
            ProviderUnavailable: The server can't be had.
        """
        url = options.get(DISCOVERY_URL)
        if not isinstance(url, str):
            return options
        deadline = self.clocks.loop_time() + self.deadline.total_seconds()
        status = 0
        for address in metadata_addresses(url):
            answer = await self._asked(address, deadline)
            if answer.status == _OK:
                return {**read_metadata(address, answer.body, has_secret=has_secret), **options}
            status = answer.status
        raise InvalidInput(_FIELD, f"there is no metadata at this address: the server answers {status}")

    async def _asked(self, address: str, deadline: float) -> Answer:
        request = TokenRequest(address, {"accept": "application/json"}, Secret(""), "GET")
        left = deadline - self.clocks.loop_time()
        try:
            async with self.endpoints.lend(request, reuse_window_s=0, deadline=deadline) as connection:
                answer = await connection.exchange(
                    request, deadline=deadline, send_before=self.clocks.boottime() + max(left, 0.0)
                )
        except ConnectFailed as failure:
            raise ProviderUnavailable(failure.reason, retry_after=_RETRY_S, maybe_used=False) from None
        if isinstance(answer, NoAnswer):
            raise ProviderUnavailable(answer.reason, retry_after=_RETRY_S, maybe_used=False)
        if answer.status == _TOO_MANY:
            raise ProviderUnavailable(FailureReason.RATE_LIMITED, retry_after=_RETRY_S, maybe_used=False)
        if answer.status >= _INTERNAL:
            raise ProviderUnavailable(FailureReason.PROVIDER_5XX, retry_after=_RETRY_S, maybe_used=False)
        return answer
