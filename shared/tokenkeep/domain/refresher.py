"""What a refresher is given and may say: the vocabulary of those who refresh a provider's tokens by code of their own.

A refresher is an async function from a `RefreshCall` to a token set in the form of RFC 6749, section 5.1:

    async def refresh(call: RefreshCall) -> Mapping[str, object]:
        return {"access_token": "…", "refresh_token": "…", "expires_in": 3600}

Without `refresh_token` the former one is kept. What else it may say, it raises:

    RefresherSays
    ├── Refused          the provider calls the grant dead
    ├── TryLater         the refresh token was not spent
    ├── Misconfigured    our client, or what the refresher was configured with, is wrong: a matter of the source
    └── MaybeSpent       the refresh token may have been spent, and what it was spent for is lost

Any other exception, and silence beyond the deadline, count as `MaybeSpent`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class RefreshCall:
    """One presentation of a refresh token, which the refresher is to make: at once, once, and by the deadline.

    `attempt_id` is the same when the same attempt is presented once more (only where a second presentation is known to be
    harmless). `options` are the source's, `properties` the account's. `deadline` is by the running loop's clock, as
    `asyncio.timeout_at` takes it.
    """

    refresher: str
    attempt_id: str
    account_id: str
    source_id: str
    provider: str
    external_id: str | None
    options: Mapping[str, Any]
    properties: Mapping[str, Any]
    client_id: str | None
    client_secret: Secret | None
    refresh_token: Secret
    scopes: tuple[str, ...]
    deadline: float = 0.0


Refresher = Callable[[RefreshCall], Awaitable[Mapping[str, object]]]


class RefresherSays(TokenkeepError):
    """What a refresher says instead of giving a token set."""


class Refused(RefresherSays):
    """The provider said in so many words that the grant is dead. This disables accounts: raise it for nothing less.

    `code` is its word, such as `invalid_grant`; one that might be a secret is not kept.
    """

    def __init__(self, code: str = "invalid_grant") -> None:
        super().__init__("the provider refused the refresh token")
        self.code = code


class TryLater(RefresherSays):
    """The refresh token was not spent: it never left, or the provider was too busy to look at it.

    `retry_after` is how many seconds to wait at least, if that was said.
    """

    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__("the refresh token was not spent")
        self.retry_after = retry_after


class Misconfigured(RefresherSays):
    """The client, or a setting, is wrong. The source pauses when its accounts agree on that; they are left untouched."""

    def __init__(self, code: str = "invalid_client") -> None:
        super().__init__("the source is not configured as it must be")
        self.code = code


class MaybeSpent(RefresherSays):
    """The token may have left, and no answer came that says what became of it."""

    def __init__(self) -> None:
        super().__init__("the refresh token may be spent")
