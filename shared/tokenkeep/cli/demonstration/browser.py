"""A user at a browser: takes the authorization-code flow with PKCE (RFC 6749, section 4.1; RFC 7636) from end to end."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.domain.secret import Secret

REDIRECT_URI = "http://127.0.0.1/demo/callback"
"""Nobody listens there: what the provider sends there is taken from the redirect itself."""


class DemoBrowser:
    """Opens the provider's page, consents, and catches where the provider redirects to."""

    def __init__(self, http: httpx.AsyncClient, *, client_id: str) -> None:
        self._http = http
        self._client_id = client_id

    async def consent(self, user: str) -> dict[str, str]:
        """The credentials to hand over: the code, and what it is bound to.

        Raises:
            DemoFailure: The provider did not send a code.
        """
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": "profile",
            "state": state,
            "code_challenge": _s256(verifier),
            "code_challenge_method": "S256",
            "user": user,
        }
        try:
            page = await self._http.get("/authorize", params=query)
            landing = await self._http.post("/authorize", params=query, data={"user": user, "decision": "allow"})
        except httpx.HTTPError as error:
            msg = f"the provider's page can't be had: {type(error).__name__}"
            raise DemoFailure(msg) from None
        if not page.is_success:
            msg = f"the provider's page was answered {page.status_code}"
            raise DemoFailure(msg)
        code = _code_from(landing, state)
        return {"authorization_code": code, "redirect_uri": REDIRECT_URI, "code_verifier": verifier}

    async def takes(self, access_token: Secret) -> bool:
        """Whether the provider's resource takes this token from an application that has it from tokenkeep."""
        try:
            answer = await self._http.get("/api/me", headers={"Authorization": f"Bearer {access_token.reveal()}"})
        except httpx.HTTPError:
            return False
        return answer.is_success


@asynccontextmanager
async def open_browser(provider_url: str, *, client_id: str) -> AsyncIterator[DemoBrowser]:
    """A browser at this provider. Redirects are not followed."""
    async with httpx.AsyncClient(base_url=provider_url, trust_env=False) as http:
        yield DemoBrowser(http, client_id=client_id)


def _code_from(landing: httpx.Response, state: str) -> str:
    location = httpx.URL(landing.headers.get("location", ""))
    given = location.params
    is_ours = str(location).partition("?")[0] == REDIRECT_URI and hmac.compare_digest(given.get("state", ""), state)
    if not is_ours or "code" not in given:
        msg = f"the provider gave no code, but {landing.status_code} {given.get('error', '')}"
        raise DemoFailure(msg.rstrip())
    return str(given["code"])


def _s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
