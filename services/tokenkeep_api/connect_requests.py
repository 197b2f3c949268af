"""What the requests of the connect pages bring: the link's token, a form, an address."""

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.secret import Secret
from tokenkeep_api.browser_cookies import LINK_TOKEN

FORM_KEY: Final = "form"
"""The hidden field by which a form shows that this browser was given it."""

_MOST_FIELDS: Final = 100


def link_in(request: Request) -> Secret:
    """The token of the link. Raises `NotFound` for what can't be one."""
    token: str = request.path_params["token"]
    if LINK_TOKEN.fullmatch(token) is None:
        raise NotFound("connect link")
    return Secret(token)


def form_in(body: bytes) -> dict[str, str]:
    """What a form says; nothing, if it says too much."""
    try:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        return {}


def address_of(request: Request) -> str | None:
    """Where the browser is, as far as proxies can be trusted."""
    address: str | None = request.state.address
    return address
