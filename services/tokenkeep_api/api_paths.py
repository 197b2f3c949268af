"""Which paths are the API's, so that they take a key; everything else is open."""

import re

_API = re.compile(r"/(?:oauth[12]/)?v1(?:/.*)?", re.DOTALL)


def is_api(path: str) -> bool:
    """Whether a path is `/v1`, `/oauth1/v1` or `/oauth2/v1`, or below."""
    return _API.fullmatch(path) is not None
