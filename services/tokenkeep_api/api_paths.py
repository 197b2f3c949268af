"""Which paths are the API's, so that they take a key; everything else is open, and what providers call."""

import re

_API = re.compile(r"/(?:oauth[12]/)?v1(?:/.*)?", re.DOTALL)
_HOOKS = "/v1/provider-hooks/"


def is_api(path: str) -> bool:
    """Whether a path is `/v1`, `/oauth1/v1` or `/oauth2/v1`, or below."""
    return _API.fullmatch(path) is not None


def is_provider_hook(path: str) -> bool:
    """Whether a path is one that providers call: their signatures stand in a key's place."""
    return path.startswith(_HOOKS)
