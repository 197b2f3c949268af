"""Requests in the form in which Authlib takes them."""

from collections.abc import Sequence

from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from starlette.datastructures import Headers

from tokenkeep.adapters.demo_provider.presentations import Presentation


class Parameters(OAuth2Payload):  # type: ignore[misc]  # Authlib has no types
    """The parameters of a request, by name."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._lists: dict[str, list[str]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    @property
    def data(self) -> dict[str, str]:
        """The first value of each."""
        return {name: values[0] for name, values in self._lists.items()}

    @property
    def datalist(self) -> dict[str, list[str]]:
        """All values of each."""
        return self._lists


class HttpRequest(OAuth2Request):  # type: ignore[misc]  # as above
    """A request with its body already read. `presentation` is where a presented refresh token is accounted for."""

    def __init__(
        self,
        method: str,
        headers: Headers,
        *,
        query: Sequence[tuple[str, str]] = (),
        form: Sequence[tuple[str, str]] = (),
        presentation: Presentation | None = None,
    ) -> None:
        # The address serves Authlib's check for https alone, from which loopback is exempt.
        super().__init__(method, "http://127.0.0.1/", headers=headers)
        self.presentation = presentation
        self._query = Parameters(query).data
        self._form = Parameters(form).data
        self.payload = Parameters([*query, *form])

    @property
    def args(self) -> dict[str, str]:
        """The parameters of the query."""
        return self._query

    @property
    def form(self) -> dict[str, str]:
        """The parameters of the body."""
        return self._form
