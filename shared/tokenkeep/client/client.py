"""The clients: one that blocks, and one for programs with an event loop. What a program does not use, it does not load."""

from functools import cached_property
from typing import TYPE_CHECKING, Self

from tokenkeep.client import tokens, tokens_async
from tokenkeep.client.answers.token import Token
from tokenkeep.client.api_wire import Address, ApiWire, AsyncApiWire
from tokenkeep.client.asking import Patience
from tokenkeep.client.performing_asks import Asker, AsyncAsker
from tokenkeep.client.tokens import Keeping, Tokens
from tokenkeep.client.tokens_async import AsyncTokens
from tokenkeep.domain.secret import Secret

if TYPE_CHECKING:
    import httpx
    import redis
    import redis.asyncio

    from tokenkeep.client.events import Events
    from tokenkeep.client.events_async import AsyncEvents
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
        self._environment = environment
        self._redis = Secret(redis) if isinstance(redis, str) else redis
        self._patience = Patience(timeout, max_retries)
        self._ask = Asker(self._api, self._patience)
        self.tokens = Tokens(self._ask, self._patience, Keeping(most_tokens))

    def token(self, account_id: str, *, min_ttl: float = 60.0, wait: float = 10.0, force: bool = False) -> Token:
        """Credentials of an account, from memory while they are good. Arguments and errors: `Tokens.get`."""
        return self.tokens.get(account_id, min_ttl=min_ttl, wait=wait, force=force)

    def with_options(self, *, timeout: float | None = None, max_retries: int | None = None) -> Self:
        """The same client for calls with other patience. Connections and tokens are shared; it need not be closed."""
        other = object.__new__(type(self))
        other._api, other._environment, other._redis = self._api, self._environment, self._redis
        other._patience = self._patience.changed(timeout, max_retries)
        other._ask = Asker(self._api, other._patience)
        other.tokens = tokens.sharing(self.tokens, other._ask, other._patience)
        return other

    def close(self) -> None:
        """Close the connections, and follow no events any more."""
        self.tokens.close()
        self._api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def events(self) -> "Events":
        """Being told what happens, asking what has happened, and telling what a service sees."""
        from tokenkeep.client.events import Events

        return Events(self._api, self._environment, self._redis)

    @cached_property
    def accounts(self) -> "Accounts":
        """End users' credentials at sources."""
        from tokenkeep.client.resources.accounts import Accounts

        return Accounts(self._ask)

    @cached_property
    def sources(self) -> "Sources":
        """Providers, configured with your own clients."""
        from tokenkeep.client.resources.sources import Sources

        return Sources(self._ask)

    @cached_property
    def providers(self) -> "Providers":
        """The catalogue."""
        from tokenkeep.client.resources.sources import Providers

        return Providers(self._ask)

    @cached_property
    def connect_sessions(self) -> "ConnectSessions":
        """Links by which end users connect accounts."""
        from tokenkeep.client.resources.connecting import ConnectSessions

        return ConnectSessions(self._ask)

    @cached_property
    def authorizations(self) -> "Authorizations":
        """For platforms that send users to providers from pages of their own."""
        from tokenkeep.client.resources.connecting import Authorizations

        return Authorizations(self._ask)

    @cached_property
    def webhooks(self) -> "Webhooks":
        """Addresses that events are delivered to."""
        from tokenkeep.client.resources.webhooks import Webhooks

        return Webhooks(self._ask)

    @cached_property
    def api_keys(self) -> "ApiKeys":
        """Who may call."""
        from tokenkeep.client.resources.keys import ApiKeys

        return ApiKeys(self._ask)

    @cached_property
    def audit(self) -> "Audit":
        """Who did what."""
        from tokenkeep.client.resources.keys import Audit

        return Audit(self._ask)


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
        self._environment = environment
        self._redis = Secret(redis) if isinstance(redis, str) else redis
        self._patience = Patience(timeout, max_retries)
        self._ask = AsyncAsker(self._api, self._patience)
        self.tokens = AsyncTokens(self._ask, self._patience, Keeping(most_tokens))

    async def token(self, account_id: str, *, min_ttl: float = 60.0, wait: float = 10.0, force: bool = False) -> Token:
        """As `Tokenkeep.token`."""
        return await self.tokens.get(account_id, min_ttl=min_ttl, wait=wait, force=force)

    def with_options(self, *, timeout: float | None = None, max_retries: int | None = None) -> Self:
        """As `Tokenkeep.with_options`."""
        other = object.__new__(type(self))
        other._api, other._environment, other._redis = self._api, self._environment, self._redis
        other._patience = self._patience.changed(timeout, max_retries)
        other._ask = AsyncAsker(self._api, other._patience)
        other.tokens = tokens_async.sharing(self.tokens, other._ask, other._patience)
        return other

    async def close(self) -> None:
        """Close the connections, and follow no events any more."""
        await self.tokens.close()
        await self._api.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @cached_property
    def events(self) -> "AsyncEvents":
        """Being told what happens, asking what has happened, and telling what a service sees."""
        from tokenkeep.client.events_async import AsyncEvents

        return AsyncEvents(self._api, self._environment, self._redis)

    @cached_property
    def accounts(self) -> "AsyncAccounts":
        """End users' credentials at sources."""
        from tokenkeep.client.resources.accounts_async import AsyncAccounts

        return AsyncAccounts(self._ask)

    @cached_property
    def sources(self) -> "AsyncSources":
        """Providers, configured with your own clients."""
        from tokenkeep.client.resources.sources_async import AsyncSources

        return AsyncSources(self._ask)

    @cached_property
    def providers(self) -> "AsyncProviders":
        """The catalogue."""
        from tokenkeep.client.resources.sources_async import AsyncProviders

        return AsyncProviders(self._ask)

    @cached_property
    def connect_sessions(self) -> "AsyncConnectSessions":
        """Links by which end users connect accounts."""
        from tokenkeep.client.resources.connecting_async import AsyncConnectSessions

        return AsyncConnectSessions(self._ask)

    @cached_property
    def authorizations(self) -> "AsyncAuthorizations":
        """For platforms that send users to providers from pages of their own."""
        from tokenkeep.client.resources.connecting_async import AsyncAuthorizations

        return AsyncAuthorizations(self._ask)

    @cached_property
    def webhooks(self) -> "AsyncWebhooks":
        """Addresses that events are delivered to."""
        from tokenkeep.client.resources.webhooks_async import AsyncWebhooks

        return AsyncWebhooks(self._ask)

    @cached_property
    def api_keys(self) -> "AsyncApiKeys":
        """Who may call."""
        from tokenkeep.client.resources.keys_async import AsyncApiKeys

        return AsyncApiKeys(self._ask)

    @cached_property
    def audit(self) -> "AsyncAudit":
        """Who did what."""
        from tokenkeep.client.resources.keys_async import AsyncAudit

        return AsyncAudit(self._ask)
