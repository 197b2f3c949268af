"""What can be done with a provider, for those who choose one."""

from collections.abc import Mapping
from typing import Any

from tokenkeep.domain.account import AuthType
from tokenkeep.providers.entry import Presented, Provider


def capabilities(it: Provider) -> Mapping[str, Any]:
    """What the provider can do; None where the catalogue does not know.

    `refresh` says whether tokens can be renewed without the end user, `revocation` whether the provider can be told that a
    grant is to be worth nothing (a source may know an address where the catalogue does not), `verification` whether there is a cheap request that
    shows if credentials work, `external_id` whether the provider tells whose they are, `hooks` how the notices are signed that it may
    send to `/v1/provider-hooks`.
    """
    check = it.verification
    return {
        "refresh": _refreshes(it),
        "refresh_rotates": it.refresh_rotates,
        "reuse_detection": it.reuse_detection,
        "pkce": it.pkce,
        "client_authentication": it.token_endpoint_auth_methods_supported or _one(it.token_endpoint_auth_method),
        "revocation": it.auth_type is AuthType.OAUTH2 and it.revocation_url is not None,
        "introspection": it.introspection_url is not None,
        "verification": check is not None,
        "external_id": it.token_external_id_path is not None or (check is not None and check.external_id is not None),
        "single_active_access_token": it.single_active_access_token,
        "revocation_event": it.revocation_event,
        "hooks": None if it.hooks is None else it.hooks.scheme.value,
    }


def _refreshes(it: Provider) -> bool | None:
    if it.auth_type is not AuthType.OAUTH2 or it.signed_token_requests:
        return False
    if it.grant.is_machines or it.refresh_with is Presented.ACCESS_TOKEN or it.refresh_rotates is not None:
        return True
    return None if it.gives_refresh_token is None else it.gives_refresh_token


def _one(word: str | None) -> tuple[str, ...]:
    return () if word is None else (word,)
