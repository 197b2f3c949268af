"""The calls that these commands make."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from tokenkeep.cli.http_api.access import Access
from tokenkeep.cli.http_api.calls import Calls, open_calls, path_of
from tokenkeep.cli.http_api.failure import ApiRefused

_SOURCES = "/v1/sources"
_UNKNOWN = frozenset({403, 404})


class SourcesApi:
    """The API's sources."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def sources(self) -> Iterator[dict[str, Any]]:
        """The environment's sources, oldest first, a page in memory at a time."""
        return self._calls.pages(_SOURCES)

    def source(self, source_id: str) -> dict[str, Any]:
        """One source."""
        return self._data("GET", _path(source_id))

    def option_schemas(self, slug: str) -> Mapping[str, Any]:
        """What the provider's options are, by name: each one's JSON Schema. Empty where the key may not see it, or there is none."""
        try:
            found = self._data("GET", f"/v1/providers/{quote(slug, safe='')}")
        except ApiRefused as refused:
            if refused.status in _UNKNOWN:
                return {}
            raise
        schemas: Mapping[str, Any] = found["options_schema"].get("properties", {})
        return schemas

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new source."""
        return self._data("POST", _SOURCES, body)

    def update(self, source_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The source as it is then."""
        return self._data("PATCH", _path(source_id), body)

    def pause(self, source_id: str) -> dict[str, Any]:
        """The source as it is then."""
        return self._data("POST", f"{_path(source_id)}/pause")

    def resume(self, source_id: str, *, confirm_revocations: bool) -> dict[str, Any]:
        """The source as it is then."""
        return self._data("POST", f"{_path(source_id)}/resume", {"confirm_revocations": confirm_revocations})

    def delete(self, source_id: str) -> None:
        """It is gone then."""
        self._calls.call("DELETE", _path(source_id))

    def _data(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data: dict[str, Any] = self._calls.call(method, path, body=body)["data"]
        return data


@contextmanager
def open_api(access: Access) -> Iterator[SourcesApi]:
    """The API behind this access."""
    with open_calls(access) as calls:
        yield SourcesApi(calls)


def _path(source_id: str) -> str:
    return path_of(_SOURCES, source_id, kind="a source", prefix="src")
