"""Things that can be done to something by a press of a button; what can't be undone asks first."""

from collections.abc import Mapping
from dataclasses import dataclass

from tokenkeep.domain.api_key import Scope


@dataclass(frozen=True, slots=True)
class Act:
    """One of them.

    Attributes:
        method: The API's method.
        path: What follows the thing's own path at the API.
        scopes: What the key needs.
        done: The code of what is said afterwards.
        button: What stands on the button.
        asks: What is said before it is done; None if it is done at once.
        gone: Whether the thing is not there any more then.
    """

    method: str
    path: str
    scopes: tuple[Scope, ...]
    done: str
    button: str
    asks: str | None = None
    gone: bool = False
    query: Mapping[str, str] | None = None
    body: Mapping[str, bool] | None = None


_WRITE = (Scope.ACCOUNTS_WRITE,)
ACCOUNT_ACTS: Mapping[str, Act] = {
    "refresh": Act("POST", "/refresh", _WRITE, "refresh", "Refresh now"),
    "verify": Act("POST", "/verify", _WRITE, "verified", "Verify with the provider"),
    "enable": Act("POST", "/enable", _WRITE, "enabled", "Enable"),
    "disable": Act(
        "POST",
        "/disable",
        _WRITE,
        "disabled",
        "Disable",
        "It is not refreshed any more, and its tokens are not handed out. You can enable it again, as long as its grant lives.",
    ),
    "withdraw": Act(
        "POST",
        "/disable",
        _WRITE,
        "disabled",
        "Disable and revoke",
        "Its credentials are erased here at once, and its grant is revoked at the provider where that can be done. "
        "Only its user can bring it back, by connecting again.",
        query={"revoke": "true"},
    ),
    "delete": Act(
        "DELETE",
        "",
        _WRITE,
        "deleted",
        "Delete",
        "The account and its credentials are erased here, and its grant is revoked at the provider where that can be done. "
        "Nothing brings it back.",
        gone=True,
    ),
    "confirm-release": Act(
        "POST",
        "/release/confirm",
        (Scope.CREDENTIALS_RELEASE,),
        "erased",
        "Erase the credentials here",
        "Say this only when the credentials have arrived where they belong. They are erased here, and can't be shown again.",
    ),
}
SOURCE_ACTS: Mapping[str, Act] = {
    "pause": Act(
        "POST",
        "/pause",
        (Scope.SOURCES_WRITE,),
        "paused",
        "Pause",
        "None of its accounts is refreshed until it is resumed. Tokens that are still good are handed out.",
    ),
    "resume": Act("POST", "/resume", (Scope.SOURCES_WRITE,), "resumed", "Resume"),
    "resume-older": Act(
        "POST",
        "/resume",
        (Scope.SOURCES_WRITE,),
        "resumed",
        "Resume all the same",
        "The database seems to be older than what was stored before. Accounts that are behind are tried; what their provider refuses "
        "then is lost, and their users have to connect again. If there is a newer database, restore that instead.",
    ),
    "disbelieve": Act(
        "POST",
        "/resume",
        (Scope.SOURCES_WRITE,),
        "resumed",
        "No: go on with these accounts",
        body={"confirm_revocations": False},
    ),
    "believe": Act(
        "POST",
        "/resume",
        (Scope.SOURCES_WRITE,),
        "believed",
        "Yes: disable these accounts",
        "All accounts whose grants were refused are disabled, and each is told of by an event. Only their users can bring them "
        "back, by connecting again.",
        body={"confirm_revocations": True},
    ),
    "delete": Act(
        "DELETE",
        "",
        (Scope.SOURCES_WRITE,),
        "source_deleted",
        "Delete",
        "The source is deleted with its client secret and its options. Connect links that are open for it end, and what its provider "
        "sends here is refused. Nothing brings it back.",
        gone=True,
    ),
}
_HOOKS = (Scope.WEBHOOKS_WRITE,)
WEBHOOK_ACTS: Mapping[str, Act] = {
    "delete": Act(
        "DELETE",
        "",
        _HOOKS,
        "webhook_deleted",
        "Delete",
        "The webhook and the record of its deliveries are deleted. Nothing more is sent to it.",
        gone=True,
    ),
}
KEY_ACTS: Mapping[str, Act] = {
    "delete": Act(
        "DELETE",
        "",
        (Scope.ADMIN,),
        "key_deleted",
        "Withdraw",
        "Whoever uses this key is turned away from now on, and signed out of the console. Nothing brings it back.",
        gone=True,
    ),
}
