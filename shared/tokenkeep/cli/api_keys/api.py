"""The calls that these commands make."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tokenkeep.cli.http_api.access import Access
from tokenkeep.cli.http_api.calls import Calls, open_calls, path_of

_KEYS = "/v1/api-keys"
_DEFAULT_ENVIRONMENT = "default"


class KeysApi:
    """The API's keys."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def all(self) -> Iterator[dict[str, Any]]:
        """The environment's keys, oldest first, a page in memory at a time."""
        return self._calls.pages(_KEYS)

    def environment(self) -> str:
        """The environment that this access is to: a stored key is among those of its own, and the admin key's is the default one."""
        found = next(self.all(), None)
        return _DEFAULT_ENVIRONMENT if found is None else str(found["environment"])

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new key, `key` itself among its members."""
        made: dict[str, Any] = self._calls.call("POST", _KEYS, body=body)["data"]
        return made

    def delete(self, key_id: str) -> None:
        """It works no more then."""
        self._calls.call("DELETE", path_of(_KEYS, key_id, kind="a key", prefix="key"))


@contextmanager
def open_api(access: Access) -> Iterator[KeysApi]:
    """The API behind this access."""
    with open_calls(access) as calls:
        yield KeysApi(calls)
