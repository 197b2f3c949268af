"""The clients: one that blocks, and one for programs with an event loop."""

from copy import copy
from typing import TYPE_CHECKING, Self

from tokenkeep.client.answers.token import Token
from tokenkeep.client.api_wire import Address, ApiWire, AsyncApiWire
from tokenkeep.client.asking import Patience
from tokenkeep.client.events import Events
from tokenkeep.client.events_async import AsyncEvents
from tokenkeep.client.performing_asks import Asker, AsyncAsker
from tokenkeep.client.resources.accounts import Accounts
from tokenkeep.client.resources.accounts_async import AsyncAccounts
from tokenkeep.client.resources.connecting import Authorizations, ConnectSessions
from tokenkeep.client.resources.connecting_async import AsyncAuthorizations, AsyncConnectSessions
from tokenkeep.client.resources.keys import ApiKeys, Audit
from tokenkeep.client.resources.keys_async import AsyncApiKeys, AsyncAudit
from tokenkeep.client.resources.sources import Providers, Sources
from tokenkeep.client.resources.sources_async import AsyncProviders, AsyncSources
from tokenkeep.client.resources.webhooks import Webhooks
from tokenkeep.client.resources.webhooks_async import AsyncWebhooks
from tokenkeep.client.tokens import Keeping, Tokens
from tokenkeep.client.tokens_async import AsyncTokens
from tokenkeep.domain.secret import Secret

if TYPE_CHECKING:
    import httpx
    import redis
    import redis.asyncio

_TIMEOUT_S = 30.0
_RETRIES = 4
_MOST_TOKENS = 10_000


class Tokenkeep:
    """A client of tokenkeep. Opens connections when they are needed; `close`, or the end of a `with` block, closes them.

    Threads may share it; a process that was forked has connections and tokens of its own.

    Args:
        base_url: Where the API is.
        api_key: A key of it, `tk_…`. It belongs to one environment.
        environment: With the admin key, the environment that is meant. Over Redis, which has the events of all environments,
            only this one's are told.
        redis: Where the Redis of tokenkeep is (`redis://`, `rediss://`, `unix://`), or a client of redis-py, which should not
            repeat commands by itself. Needs `tokenkeep[streams]`.
        transport: Another transport for httpx, for tests.
        http_client: An httpx client of your own, for proxies, certificates and the like. You close it yourself.
        timeout: How long a call may take with all its tries, in seconds. What a call waits for by its own argument comes on top.
        max_retries: How often a call is tried again that the API could not answer, where that does no harm.
        most_tokens: How many tokens are kept in memory.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        environment: str | None = None,
        redis: "str | redis.Redis | None" = None,
        transport: "httpx.BaseTransport | None" = None,
        http_client: "httpx.Client | None" = None,
        timeout: float = _TIMEOUT_S,
        max_retries: int = _RETRIES,
        most_tokens: int = _MOST_TOKENS,
    ) -> None:
        self._api = ApiWire(Address(base_url, api_key, environment), transport, http_client)
        self._patience = Patience(timeout, max_retries)
        self.events = Events(self._api, environment, Secret(redis) if isinstance(redis, str) else redis)
        self.tokens = Tokens(Asker(self._api, self._patience), self._patience, Keeping(most_tokens))
        self._furnish()

    def token(self, account_id: str, *, min_ttl: float = 60.0, wait: float = 10.0, force: bool = False) -> Token:
        """Credentials of an account, from memory while they are good. Arguments and errors: `Tokens.get`."""
        return self.tokens.get(account_id, min_ttl=min_ttl, wait=wait, force=force)

    def with_options(self, *, timeout: float | None = None, max_retries: int | None = None) -> Self:
        """The same client for calls with other patience. Connections and tokens are shared; it need not be closed."""
        other = copy(self)
        other._patience = self._patience.changed(timeout, max_retries)  # noqa: SLF001 - another of our own
        other._furnish()  # noqa: SLF001 - as above
        return other

    def close(self) -> None:
        """Close the connections, and follow no events any more."""
        self.tokens.close()
        self._api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _furnish(self) -> None:
        ask = Asker(self._api, self._patience)
        self.accounts = Accounts(ask)
        self.sources = Sources(ask)
        self.providers = Providers(ask)
        self.connect_sessions = ConnectSessions(ask)
        self.authorizations = Authorizations(ask)
        self.webhooks = Webhooks(ask)
        self.api_keys = ApiKeys(ask)
        self.audit = Audit(ask)


class AsyncTokenkeep:
    """As `Tokenkeep`, for programs with an event loop: `async with`, or `await client.close()`."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        environment: str | None = None,
        redis: "str | redis.asyncio.Redis | None" = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        http_client: "httpx.AsyncClient | None" = None,
        timeout: float = _TIMEOUT_S,
        max_retries: int = _RETRIES,
        most_tokens: int = _MOST_TOKENS,
    ) -> None:
        self._api = AsyncApiWire(Address(base_url, api_key, environment), transport, http_client)
        self._patience = Patience(timeout, max_retries)
        self.events = AsyncEvents(self._api, environment, Secret(redis) if isinstance(redis, str) else redis)
        self.tokens = AsyncTokens(AsyncAsker(self._api, self._patience), self._patience, Keeping(most_tokens))
        self._furnish()

    async def token(self, account_id: str, *, min_ttl: float = 60.0, wait: float = 10.0, force: bool = False) -> Token:
        """As `Tokenkeep.token`."""
        return await self.tokens.get(account_id, min_ttl=min_ttl, wait=wait, force=force)

    def with_options(self, *, timeout: float | None = None, max_retries: int | None = None) -> Self:
        """As `Tokenkeep.with_options`."""
        other = copy(self)
        other._patience = self._patience.changed(timeout, max_retries)  # noqa: SLF001 - another of our own
        other._furnish()  # noqa: SLF001 - as above
        return other

    async def close(self) -> None:
        """Close the connections, and follow no events any more."""
        await self.tokens.close()
        await self._api.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _furnish(self) -> None:
        ask = AsyncAsker(self._api, self._patience)
        self.accounts = AsyncAccounts(ask)
        self.sources = AsyncSources(ask)
        self.providers = AsyncProviders(ask)
        self.connect_sessions = AsyncConnectSessions(ask)
        self.authorizations = AsyncAuthorizations(ask)
        self.webhooks = AsyncWebhooks(ask)
        self.api_keys = AsyncApiKeys(ask)
        self.audit = AsyncAudit(ask)
