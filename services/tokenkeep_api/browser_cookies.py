"""The cookie that binds a connect session to a browser.

Each session has a cookie of its own, so that two tabs don't take each other's. Its value is random and holds the link's
token as well, by which the user can try again: of the token we keep no more than a hash.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from starlette.responses import Response

from tokenkeep.application.connect_sessions import new_token
from tokenkeep.domain.connect_session import LONGEST_LIFE
from tokenkeep.domain.secret import Secret

LINK_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{43}")
_NAME: Final = "tokenkeep_connect_"
_NAME_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class BrowserCookies:
    """Sets and finds them. `secure`: we are reached over https, so no other site of the domain may set one (`__Host-`)."""

    secure: bool

    def known(self, cookies: Mapping[str, str], link: Secret) -> Secret | None:
        """What this browser was given for the link."""
        value = cookies.get(self._name(link), "")
        browser = Secret(value)
        return browser if _VALUE.fullmatch(value) and link_of(browser) == link else None

    def all(self, cookies: Mapping[str, str]) -> Iterator[Secret]:
        """What this browser was given for all the links that it has opened lately."""
        for name, value in cookies.items():
            if name.startswith(self._prefix) and _VALUE.fullmatch(value):
                yield Secret(value)

    def put(self, response: Response, browser: Secret) -> None:
        """Give it to the browser for as long as a session may last."""
        self._set(response, browser, browser.reveal(), max_age=int(LONGEST_LIFE.total_seconds()))

    def drop(self, response: Response, browser: Secret) -> None:
        """Take it away."""
        self._set(response, browser, "", max_age=0)

    def _set(self, response: Response, browser: Secret, value: str, *, max_age: int) -> None:
        response.set_cookie(
            self._name(link_of(browser)),
            value,
            max_age=max_age,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def _name(self, link: Secret) -> str:
        return self._prefix + sha256(link.reveal().encode()).hexdigest()[:_NAME_DIGITS]

    @property
    def _prefix(self) -> str:
        return f"__Host-{_NAME}" if self.secure else _NAME


def mint(link: Secret) -> Secret:
    """A fresh value for a link."""
    return Secret(f"{new_token().reveal()}.{link.reveal()}")


def link_of(browser: Secret) -> Secret:
    """The token of the link that a value was made for."""
    return Secret(browser.reveal().partition(".")[2])


def result_of(browser: Secret) -> Secret:
    """What the caller's backend will know this browser by, where it connects an account without leaving our pages.

    It follows from what the browser alone knows, so a form that is sent twice has one result.
    """
    return Secret(sha256(b"tokenkeep.connect-result." + browser.reveal().encode()).hexdigest())


def form_key(browser: Secret) -> str:
    """What a form that was shown to this browser brings with it, and one on another site can't know."""
    return sha256(b"tokenkeep.connect-form." + browser.reveal().encode()).hexdigest()
