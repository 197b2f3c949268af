"""The console's cookies: the session's token, and, before there is a session, what ties the form to the browser.

They are two: a page that is reached from another site comes without the session's cookie (SameSite=Strict), and must not
overwrite it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from starlette.responses import Response

from tokenkeep.application.console_sessions import LIFE
from tokenkeep.domain.secret import Secret

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SESSION: Final = "tokenkeep_console"
_DOORSTEP: Final = "tokenkeep_console_form"


@dataclass(frozen=True, slots=True)
class ConsoleCookies:
    """Sets and finds them. `secure`: we are reached over https, so no other site of the domain may set one (`__Host-`)."""

    secure: bool

    def session(self, cookies: Mapping[str, str]) -> Secret | None:
        """The session's token, as the browser has it."""
        return _token(cookies.get(self._name(_SESSION), ""))

    def doorstep(self, cookies: Mapping[str, str]) -> Secret | None:
        """What the form for signing in was shown with."""
        return _token(cookies.get(self._name(_DOORSTEP), ""))

    def put_session(self, response: Response, token: Secret) -> None:
        """The browser is signed in."""
        self._set(response, _SESSION, token.reveal(), max_age=int(LIFE.total_seconds()))

    def drop_session(self, response: Response) -> None:
        """The browser is signed out."""
        self._set(response, _SESSION, "", max_age=0)

    def put_doorstep(self, response: Response, token: Secret) -> None:
        """The browser was shown the form for signing in."""
        self._set(response, _DOORSTEP, token.reveal(), max_age=int(LIFE.total_seconds()))

    def _set(self, response: Response, name: str, value: str, *, max_age: int) -> None:
        response.set_cookie(
            self._name(name), value, max_age=max_age, path="/", secure=self.secure, httponly=True, samesite="strict"
        )

    def _name(self, name: str) -> str:
        return f"__Host-{name}" if self.secure else name


def form_key(token: Secret) -> str:
    """What every form of a session brings along, and one on another site can't know."""
    return sha256(b"tokenkeep.console-form." + token.reveal().encode()).hexdigest()


def _token(value: str) -> Secret | None:
    return Secret(value) if _TOKEN.fullmatch(value) else None
