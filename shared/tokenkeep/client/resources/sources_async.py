"""`client.sources` and `client.providers`: the catalogue, and what of it is configured."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from tokenkeep.client.answers.sources import Provider, Source
from tokenkeep.client.calls import (
    UNSET,
    Listing,
    Unset,
    changing,
    creating,
    given,
    identified,
    listing,
    reading,
    removing,
    segment,
    stated,
)
from tokenkeep.client.performing_asks import AsyncAsker
from tokenkeep.domain.ids import IdKind

_PATH = "/v1/sources"


class AsyncSources:
    """Sources. Of a client: `client.sources`."""

    def __init__(self, ask: AsyncAsker) -> None:
        self._ask = ask

    async def create(
        self,
        provider: str,
        name: str,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        scopes: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
        refresh_callout_secret: str | None = None,
        hook_secret: str | None = None,
        idempotency_key: str | None = None,
    ) -> Source:
        """Configure a provider with your own client, once. Secrets are write-only.

        Args:
            provider: Its slug in the catalogue, such as `quickbooks` or `generic-oauth2`.
            name: What you call it.
            client_id: Your client's id at the provider.
            client_secret: What proves your client, as the option `token_endpoint_auth_method` says.
            scopes: What users are asked for.
            options: The provider's own settings; its `options_schema` has them all.
            refresh_callout_secret: Signs what is posted to the option `refresh_callout_url` (`whsec_…`).
            hook_secret: What the provider signs its notices with.
            idempotency_key: One of your own, so that another process may go on where this one died.

        Raises:
            InvalidRequest: `field` says what is wrong, such as `options.token_url`.
        """
        body = given(
            provider=provider,
            name=name,
            client_id=client_id,
            client_secret=client_secret,
            scopes=scopes,
            options=options,
            refresh_callout_secret=refresh_callout_secret,
            hook_secret=hook_secret,
        )
        return await self._ask(creating(Source, _PATH, body, idempotency_key))

    async def get(self, source_id: str) -> Source:
        """One source."""
        return await self._ask(reading(Source, _path(source_id)))

    async def list(self, *, limit: int = 100, cursor: str | None = None) -> Listing[Source]:
        """A page of the environment's sources, oldest first."""
        return await self._ask(listing(Source, _PATH, limit=limit, cursor=cursor))

    async def iterate(self) -> AsyncIterator[Source]:
        """All sources of the environment, oldest first."""
        cursor: str | None = None
        while True:
            page = await self.list(limit=200, cursor=cursor)
            for item in page:
                yield item
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    async def update(
        self,
        source_id: str,
        *,
        name: str | Unset = UNSET,
        client_id: str | Unset = UNSET,
        client_secret: str | Unset | None = UNSET,
        scopes: Sequence[str] | Unset = UNSET,
        options: Mapping[str, Any] | Unset = UNSET,
        refresh_callout_secret: str | Unset | None = UNSET,
        hook_secret: str | Unset | None = UNSET,
    ) -> Source:
        """Change what is given; None takes a secret away, `options` are replaced as a whole.

        A changed client is tried with one account before the others follow (`proving`).
        """
        body = stated(
            name=name,
            client_id=client_id,
            client_secret=client_secret,
            scopes=scopes,
            options=options,
            refresh_callout_secret=refresh_callout_secret,
            hook_secret=hook_secret,
        )
        return await self._ask(changing(Source, "PATCH", _path(source_id), body))

    async def delete(self, source_id: str) -> None:
        """Delete a source that has no accounts any more. Raises `Conflict`, code `source_in_use`, as long as it has."""
        return await self._ask(removing(_path(source_id)))

    async def pause(self, source_id: str) -> Source:
        """Stop refreshing for the source. Its accounts keep their state."""
        return await self._ask(changing(Source, "POST", f"{_path(source_id)}/pause"))

    async def resume(self, source_id: str, *, confirm_revocations: bool | None = None) -> Source:
        """Go on refreshing for the source.

        `confirm_revocations`, after a mass revocation only: the accounts whose revocations were held are disabled; else they are
        refreshed again, and those that were disabled before the pause are enabled.
        """
        body = given(confirm_revocations=confirm_revocations)
        return await self._ask(changing(Source, "POST", f"{_path(source_id)}/resume", body))


class AsyncProviders:
    """The catalogue. Of a client: `client.providers`."""

    def __init__(self, ask: AsyncAsker) -> None:
        self._ask = ask

    async def list(
        self, *, auth_type: str | None = None, category: str | None = None, q: str | None = None
    ) -> Listing[Provider]:
        """The providers that fit all that is given; `q` is searched for in slugs and names."""
        return await self._ask(listing(Provider, "/v1/providers", auth_type=auth_type, category=category, q=q))

    async def get(self, slug: str) -> Provider:
        """One provider."""
        return await self._ask(reading(Provider, f"/v1/providers/{segment(slug, 'slug')}"))


def _path(source_id: str) -> str:
    return f"{_PATH}/{identified(IdKind.SOURCE, source_id, 'source_id')}"
