"""Where a source's options lead, looked at before it is stored. The look at each connection remains the one that counts."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy, checked_origin, resolve
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.options import url_options

_LOOKUP_S = 2.0


async def check_addresses(provider: Provider, options: Mapping[str, Any], policy: AddressPolicy) -> None:
    """Refuse addresses that we would not connect to. A name that does not resolve now, or not in 2 s, is let pass.

    Args:
        provider: The entry whose options they are.
        options: Options that `validate_options` has passed.
        policy: The addresses that may be connected to.

    Raises:
        ForbiddenAddress: A URL leads, or its name resolves, to an address that is not public; its field is named.
        InvalidInput: A URL is malformed, or not https.
    """
    origins = {field: checked_origin(url, policy=policy, field=field) for field, url in url_options(provider, options)}
    looks = [_look(field, origin.host, origin.port, policy) for field, origin in origins.items()]
    await asyncio.gather(*looks)


async def _look(field: str, host: str, port: int, policy: AddressPolicy) -> None:
    try:
        await resolve(host, port, policy=policy, timeout_s=_LOOKUP_S, field=field)
    except OSError:  # TimeoutError is one
        return
