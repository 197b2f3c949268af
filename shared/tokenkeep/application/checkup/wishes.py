"""What the settings say, judged by themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tokenkeep.application.checkup.findings import Finding, ok, warning

_SHORT_KEY = 24
_FEW_LETTERS = 10
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What of the settings can be meant otherwise than it is. `misspelt` and `unknown`: lines about variables. Of the admin key its length and its different letters."""

    misspelt: Sequence[str]
    unknown: Sequence[str]
    public_url: str | None
    api_host: str
    admin_key_length: int | None
    admin_key_letters: int
    custody_hold: bool
    failpoints: bool
    private_hosts: Sequence[str]
    log_level: str


def judge_wishes(wishes: Wishes) -> Iterator[Finding]:
    """Everything about them."""
    if wishes.misspelt or wishes.unknown:
        yield warning(
            "settings.names",
            "; ".join([*wishes.misspelt, *wishes.unknown]),
            "correct the variable's name, or take it out: it has no effect",
        )
    else:
        yield ok("settings.names", "every TOKENKEEP_ variable is a setting")
    yield _public_url(wishes)
    yield _admin_key(wishes)
    if wishes.custody_hold:
        yield warning(
            "settings.custody_hold",
            "TOKENKEEP_CUSTODY_HOLD is on: nobody is refreshed",
            "take it off once the restored database has been looked at",
        )
    if wishes.failpoints:
        yield warning(
            "settings.failpoints",
            "TOKENKEEP_FAILPOINTS is set: processes break on purpose",
            "take it out; it is for tests",
        )
    wide = [host for host in wishes.private_hosts if host in {"0.0.0.0/0", "::/0"}]
    if wide:
        yield warning(
            "settings.allow_private_hosts",
            f"TOKENKEEP_ALLOW_PRIVATE_HOSTS lets URLs of sources lead anywhere inside ({', '.join(wide)})",
            "name the hosts that are meant",
        )
    if wishes.log_level == "debug":
        yield warning(
            "settings.log_level",
            "TOKENKEEP_LOG_LEVEL is debug: every read has a line",
            "set it to info, unless you are looking for something",
        )


def _public_url(wishes: Wishes) -> Finding:
    check = "settings.public_url"
    if wishes.public_url is None:
        saw = "TOKENKEEP_PUBLIC_URL is not set: connect links lead to this machine"
        if wishes.api_host in _LOOPBACK:
            return ok(check, f"{saw}, which is right as long as nobody else uses it")
        return warning(check, saw, "set it to the address that end users reach, the same for every process")
    parts = urlsplit(wishes.public_url)
    if parts.scheme == "https" or parts.hostname in _LOOPBACK:
        return ok(check, f"end users come to {wishes.public_url}")
    return warning(
        check,
        f"{wishes.public_url} is plain http: codes of providers and credentials of end users can be read on the way",
        "use https, by a proxy in front of the API",
    )


def _admin_key(wishes: Wishes) -> Finding:
    check = "settings.admin_key"
    if wishes.admin_key_length is None:
        return ok(check, "there is no admin key here: only API keys that were issued are taken")
    if wishes.admin_key_length < _SHORT_KEY or wishes.admin_key_letters < _FEW_LETTERS:
        return warning(
            check,
            f"TOKENKEEP_ADMIN_KEY is {wishes.admin_key_length} characters long, of {wishes.admin_key_letters} different ones, and may be guessed",
            "make one of 32 random bytes: python3 -c 'import secrets; print(\"tk_\" + secrets.token_urlsafe(32))'",
        )
    return ok(check, "the admin key is long enough")
