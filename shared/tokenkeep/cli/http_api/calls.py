"""Calls of the API, one answer at a time. Imports and streams have clients of their own.

Not the SDK's: these commands print the API's own documents and refusals, and what somebody asked for once is not asked again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tokenkeep.cli.http_api.access import Access
from tokenkeep.cli.http_api.failure import ApiRefused

_TIMEOUT_S = 45.0
"""Longer than the API waits for a refresh."""
_NO_CONTENT = 204
_PAGE = 200


class Calls:
    """Makes them; raises `ApiRefused` wherever what was asked for is not done."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """The things of a list, a page in memory at a time."""
        cursor: str | None = None
        while True:
            given = {**(query or {}), "limit": str(_PAGE), **({} if cursor is None else {"cursor": cursor})}
            page = self.call("GET", path, given)
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """The whole document of the answer, with what was asked for as `data`; None where it has none."""
        try:
            answer = self._http.request(method, path, params=query, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            msg = f"{self._http.base_url} gave no answer: {type(error).__name__}"
            raise ApiRefused(msg) from None
        if not answer.is_success:
            raise refused(answer.status_code, answer.content)
        if answer.status_code == _NO_CONTENT:
            return None
        document = parsed(answer.content)
        if document is None or "data" not in document:
            raise not_the_api(str(self._http.base_url), answer.status_code)
        return document


@contextmanager
def open_calls(access: Access) -> Iterator[Calls]:
    """Calls by this access, over one connection."""
    with httpx.Client(base_url=access.url, headers=access.headers(), timeout=_TIMEOUT_S, trust_env=False) as http:
        yield Calls(http)


def parsed(body: bytes) -> dict[str, Any] | None:
    """The JSON object that a body is; None if it is none."""
    import orjson  # noqa: PLC0415  # see the package `cli`

    try:
        document = orjson.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def not_the_api(url: str, status: int) -> ApiRefused:
    """For an answer that does not look like the API's: a proxy's, or of something else at this address."""
    return ApiRefused(f"{url} answered {status}, but not as the API does", status=status)


def refused(status: int, body: bytes) -> ApiRefused:
    """What the API's problem document says (RFC 9457)."""
    import orjson  # noqa: PLC0415  # see the package `cli`

    try:
        problem = orjson.loads(body)
        code, field, detail = problem["code"], problem.get("field"), problem["detail"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ApiRefused(f"the API answered {status}", status=status)
    where = "" if field is None else f" {field}:"
    return ApiRefused(f"{code}:{where} {detail}", status=status, code=code, field=field)


def path_of(collection: str, given: str, *, kind: str, prefix: str) -> str:
    """The path of one thing. Raises `ApiRefused` where what is given can be no id, so that it never names another path."""
    if not given.replace("_", "").isalnum() or not given.isascii():
        msg = f"{kind}'s id looks like {prefix}_0193e1a4c1c07d0f8f3c7be4a1b2c3d4"
        raise ApiRefused(msg)
    return f"{collection}/{given}"
