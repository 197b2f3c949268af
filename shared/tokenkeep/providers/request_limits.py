"""What is declared of how much a provider takes: for each source, which has a client of its own, and for all of them together."""

from collections.abc import Mapping
from typing import Any

from tokenkeep.domain.source_limits import Bound, bound
from tokenkeep.providers.entry import Provider


def source_bound(name: str, provider: Provider, options: Mapping[str, Any]) -> Bound | None:
    """The bound of one source: its options where it has them, the provider's entry where not."""

    def chosen(option: str) -> int | None:
        value: int | None = options.get(option)
        return getattr(provider, option) if value is None else value

    return bound(
        name,
        per_min=chosen("refresh_rate_per_min"),
        burst=chosen("refresh_burst"),
        concurrency=chosen("refresh_concurrency"),
    )


def provider_bound(provider: Provider) -> Bound | None:
    """The bound of all sources of the provider together."""
    return bound(
        f"provider:{provider.slug}",
        per_min=provider.provider_rate_per_min,
        burst=provider.provider_burst,
        concurrency=provider.provider_concurrency,
    )


def is_one_service(provider: Provider) -> bool:
    """Whether the provider's sources all ask the same service; an open entry is filled with any server's address."""
    return provider.token_url is not None
