"""`TokenkeepAuth`: httpx requests that bear an account's credentials, whatever their kind, and outlive a token."""

from collections.abc import AsyncGenerator, Generator, Iterable

import httpx

from tokenkeep.client.asking import Patience
from tokenkeep.client.client import AsyncTokenkeep, Tokenkeep
from tokenkeep.client.credentialed import Credentialed, Origins
from tokenkeep.client.token_shelf import Wish

_FORM = "application/x-www-form-urlencoded"


class TokenkeepAuth(httpx.Auth):
    """Puts an account's credentials into each request, and replaces a token that the provider refuses.

        api = httpx.Client(auth=TokenkeepAuth(client, account_id, origins=["https://api.example.com"]))

    On a 401 the refusal is reported, a newer token waited for, and the request made once more; a second 401 is given back as
    it is, and so is the first one if no newer token could be had. Credentials go to the request's own origin only: a
    redirect that would take them to another one raises `OriginNotAllowed`, and so does plain http, but to loopback.

    Args:
        client: A `Tokenkeep` for `httpx.Client`, an `AsyncTokenkeep` for `httpx.AsyncClient`.
        account_id: Whose credentials.
        origins: The only ones that requests may go to, such as `https://api.example.com`; None: wherever a request is sent.
        min_ttl: For how many seconds a token is to be good at least.
        timeout: For how many seconds a newer token is waited for after a 401.
        buffer_bodies: Read a body that streams into memory, so that the request can be made once more. False: such a request
            is not; its 401 is given back, and the token replaced for the next one.

    Raises:
        InvalidInput: What can't be meant; it names the argument.
    """

    def __init__(
        self,
        client: Tokenkeep | AsyncTokenkeep,
        account_id: str,
        *,
        origins: str | Iterable[str] | None = None,
        min_ttl: float = 60.0,
        timeout: float = 20.0,
        buffer_bodies: bool = True,
    ) -> None:
        Wish(account_id, min_ttl)
        Patience(timeout)
        self.requires_request_body = buffer_bodies
        self._client = client
        self._account_id = account_id
        self._origins = Origins(origins)
        self._min_ttl = min_ttl
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"TokenkeepAuth({self._account_id})"

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """As httpx calls it. Raises as `Tokens.get` does, `OriginNotAllowed`, and `NotConfigured` if a transport leaves a key out."""
        client = self._client
        if not isinstance(client, Tokenkeep):
            raise TypeError("httpx.Client wants TokenkeepAuth of a Tokenkeep, not of an AsyncTokenkeep")
        going = Credentialed(request, self._origins)
        if self.requires_request_body:
            request.read()
        token = client.tokens.get(self._account_id, min_ttl=self._min_ttl)
        signature = None
        if token.is_signed:
            signature = client.accounts.sign(self._account_id, request.method, str(request.url), body=_form(request))
        response = yield going.bearing(token, None if signature is None else signature.headers)
        going.check_arrival(response)
        if not going.is_refused(response):
            return
        newer = client.tokens.renew(self._account_id, token, timeout=self._timeout)
        if newer is not None and not newer.is_signed and going.is_repeatable:
            going.check_arrival((yield going.bearing(newer)))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """As httpx calls it. Raises as `sync_auth_flow` does."""
        client = self._client
        if not isinstance(client, AsyncTokenkeep):
            raise TypeError("httpx.AsyncClient wants TokenkeepAuth of an AsyncTokenkeep, not of a Tokenkeep")
        going = Credentialed(request, self._origins, on_loop=True)
        if self.requires_request_body:
            await request.aread()
        token = await client.tokens.get(self._account_id, min_ttl=self._min_ttl)
        signature = None
        if token.is_signed:
            signature = await client.accounts.sign(
                self._account_id, request.method, str(request.url), body=_form(request)
            )
        response = yield going.bearing(token, None if signature is None else signature.headers)
        going.check_arrival(response)
        if not going.is_refused(response):
            return
        newer = await client.tokens.renew(self._account_id, token, timeout=self._timeout)
        if newer is not None and not newer.is_signed and going.is_repeatable:
            going.check_arrival((yield going.bearing(newer)))


def _form(request: httpx.Request) -> str | None:
    """The parameters of a form are signed too (RFC 5849, section 3.4.1.3)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        return None
    try:
        return request.content.decode()
    except httpx.RequestNotRead:
        raise ValueError("a form that streams can't be signed: leave buffer_bodies at True") from None
