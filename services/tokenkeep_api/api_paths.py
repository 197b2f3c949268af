"""Which paths are the API's, so that they take a key; everything else is open, and what providers call."""

_API = ("/v1", "/oauth1/v1", "/oauth2/v1")
_BELOW = tuple(f"{path}/" for path in _API)
_HOOKS = "/v1/provider-hooks/"


def is_api(path: str) -> bool:
    """Whether a path is `/v1`, `/oauth1/v1` or `/oauth2/v1`, or below."""
    return path.startswith(_BELOW) or path in _API


def is_provider_hook(path: str) -> bool:
    """Whether a path is one that providers call: their signatures stand in a key's place."""
    return path.startswith(_HOOKS)
