"""What an end user is told when something is in the way: plain words, and the HTTP status that says the same."""

from dataclasses import dataclass
from typing import assert_never

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.connect_session import ConnectFailure
from tokenkeep.providers.connect_form import Slip


@dataclass(frozen=True, slots=True)
class Words:
    """What a page says, under which status. `again`: to try once more may help."""

    status: int
    title: str
    text: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class FormWords:
    """What is said above a form that is shown again, under which status."""

    status: int
    notice: str


NO_SUCH_LINK = Words(
    404,
    "This link leads nowhere",
    "It may be incomplete, out of date, or used up. Please ask whoever sent it to you for a new one.",
)
EXPIRED = Words(
    410,
    "This link has run out of time",
    "Links like this are good for a few minutes only. Please go back to where you came from and start again.",
)
DONE_BEFORE = Words(410, "This is done", "The account is connected already. You can close this page.")
USED_UP = Words(
    400,
    "This step is over",
    "It was done already, or you began again somewhere else. If your account is not connected yet, "
    "please open the link that you were given once more.",
)
OTHER_BROWSER = Words(
    403,
    "Please use the browser you began in",
    "For your safety this can only be finished in the browser in which it was begun, with cookies allowed. "
    "Please go back there, or open the link that you were given once more.",
)
UNREADABLE = Words(
    400,
    "We can't read that answer",
    "You were sent here with an answer that makes no sense to us. Please open the link that you were given once more.",
)
PRESS_AGAIN = (
    "We could not be sure that it was you who pressed the button. Please press it again. "
    "If this keeps happening, allow cookies for this page."
)
FILL_IN = "Please fill this in."
LOOKS_WRONG = "This does not look right. Please check it for slips."
_ONCE_MORE = "What is secret has to be entered once more."


def failure_words(failure: ConnectFailure, *, provider: str, source: str) -> Words:
    """What is said of a failure. `provider` and `source` are their names."""
    match failure:
        case ConnectFailure.ACCESS_DENIED:
            text = f"Nothing was connected: {source} has no new access. If that was a slip, you can try again."
            return Words(403, "You declined", text, again=True)
        case ConnectFailure.PROVIDER_ERROR:
            text = f"{provider} sent you back without anything that we can use. Please try again in a moment."
            return Words(502, f"{provider} could not do it", text, again=True)
        case ConnectFailure.ISSUER_MISMATCH | ConnectFailure.TOKEN_MISMATCH:
            text = "To be safe, we have not used it. Please try again, and only go on if you trust where you are sent."
            strange = failure is ConnectFailure.ISSUER_MISMATCH
            title = f"That answer did not come from {provider}" if strange else "That answer belongs to something else"
            return Words(400, title, text, again=True)
        case ConnectFailure.CREDENTIALS_REJECTED:
            text = f"Please try again. If that does not help, tell {source}: their side of the connection may need mending."
            return Words(502, f"{provider} did not accept it", text, again=True)
        case ConnectFailure.PROVIDER_UNAVAILABLE:
            text = "Nothing was connected. Please try again in a few minutes."
            return Words(503, f"{provider} can't be reached", text, again=True)
        case ConnectFailure.IDENTITY_MISMATCH:
            text = f"You signed in to {provider} with another account than the one that {source} expects. Please try again with that one."
            return Words(409, "That is another account", text, again=True)
        case ConnectFailure.IDENTITY_UNKNOWN | ConnectFailure.ACCOUNT_EXISTS:
            return _unknown_words(provider) if failure is ConnectFailure.IDENTITY_UNKNOWN else _existing_words(source)
        case ConnectFailure.ACCOUNT_DISABLED:
            text = f"{source} has switched this account off, so it can't be reconnected from here. Please ask them."
            return Words(403, "This account was switched off", text)
        case ConnectFailure.MISCONFIGURED:
            text = f"Something is not set up right at {source}. Please tell them; it is nothing that you did."
            return Words(500, "This can't be connected now", text)
        case _:
            assert_never(failure)


def _unknown_words(provider: str) -> Words:
    text = (
        f"{provider} did not tell us whose account you have let us use, so we have left everything as it was. "
        f"Please try again in a moment, and if {provider} asks, allow it to show your profile."
    )
    return Words(409, "We could not see whose account this is", text, again=True)


def _existing_words(source: str) -> Words:
    text = f"{source} has access to this account, so there is nothing left to do. You can close this page."
    return Words(409, "This account is connected already", text)


def slip_words(slip: Slip) -> str:
    """What is said of a field."""
    match slip:
        case Slip.MISSING:
            return FILL_IN
        case Slip.MISFIT:
            return LOOKS_WRONG


def slips(*, secrets: bool) -> FormWords:
    """What is said where fields were not filled in well. `secrets`: some of the form's fields are empty again for it."""
    notice = "Please look at what is marked below."
    return FormWords(422, f"{notice} {_ONCE_MORE}" if secrets else notice)


def not_taken(failure: ConnectFailure, *, provider: str | None, source: str, auth_type: AuthType) -> FormWords | None:
    """What is said where others may be tried, above the form; None where that would not help. `provider` None: it has no name."""
    who = provider or "The provider"
    match failure:
        case ConnectFailure.CREDENTIALS_REJECTED:
            notice = f"{who} does not accept {_THESE.get(auth_type, 'what you entered')}. Please check it, and enter it again."
            return FormWords(422, notice)
        case ConnectFailure.PROVIDER_UNAVAILABLE:
            return FormWords(
                503, f"{who} can't be reached, so nothing was connected. Please try again in a few minutes."
            )
        case ConnectFailure.IDENTITY_MISMATCH:
            account = f"another {provider} account" if provider else "another account"
            return FormWords(409, f"That belongs to {account} than the one that {source} expects. Please use that one.")
        case ConnectFailure.IDENTITY_UNKNOWN:
            notice = f"{who} did not tell us whose account that belongs to, so nothing was changed. Please try again in a moment."
            return FormWords(409, notice)
        case _:
            return None


_THESE = {
    AuthType.API_KEY: "this key",
    AuthType.BEARER: "this token",
    AuthType.BASIC: "this combination",
}


def status_words(status: int) -> Words:
    """What is said where only a status is known."""
    match status:
        case 404:
            return Words(404, "There is nothing here", "The address may be incomplete. Please check the link.")
        case 405 | 413 | 415:
            return Words(status, "That did not work", "Please open the link that you were given once more.")
        case 408:
            return Words(408, "That took too long", "Your connection may be slow. Please try again.")
        case 429 | 503:
            return Words(status, "Just a moment", "We can't answer right now. Please try again in a minute.")
        case _:
            return Words(status, "Something went wrong", "It is nothing that you did. Please try again in a minute.")
