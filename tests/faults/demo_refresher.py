"""A refresher as somebody would write it for the demo provider. It runs in the workers of the fault tests."""

from collections.abc import Mapping
from typing import Any

import httpx

from tokenkeep.domain.refresher import MaybeSpent, RefreshCall, Refused, TryLater


async def refresh(call: RefreshCall) -> Mapping[str, object]:
    assert call.client_id is not None
    assert call.client_secret is not None
    form = {"grant_type": "refresh_token", "refresh_token": call.refresh_token.reveal()}
    async with httpx.AsyncClient(timeout=httpx.Timeout(None), trust_env=False) as http:
        try:
            answer = await http.post(
                call.options["token_url"], data=form, auth=(call.client_id, call.client_secret.reveal())
            )
        except httpx.ConnectError:
            raise TryLater from None
    said: dict[str, Any] = answer.json()
    if answer.status_code == httpx.codes.OK:
        return said
    if said.get("error") == "invalid_grant":
        raise Refused
    raise MaybeSpent
