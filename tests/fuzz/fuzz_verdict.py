"""A coverage-guided search for an answer that the classifier can't read, or reads as what it must never be.

    make fuzz              # a minute; SECONDS=600 for ten

It starts from the collected answers, so its mutations look like what endpoints send. What it finds is a defect: the input
is written beside this command as `crash-…`, and shown again by giving that file as an argument.
"""

import re
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tokenkeep.providers"]):
    from tokenkeep.providers import classify as reading
    from tokenkeep.providers.answer_body import Shape, read_body

from tokenkeep.domain.verdict import Granted, Misconfigured, RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.scoring import built_in_corpus

SENT = datetime(2026, 5, 1, tzinfo=UTC)
LIFE = timedelta(hours=1)
CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
HEADERS = ("retry-after", "retry-after-ms", "x-ratelimit-reset", "location", "www-authenticate", "x-amzn-errortype")
SPEAKERS = ("google", "microsoft", "slack", "salesforce", "withings", "tiktok-shop")
LONGEST = 65_536


def rules_to_try() -> tuple[OAuth2Rules, ...]:
    """The general rules, and those of providers with dialects and rules of their own."""
    catalogue = load_catalogue()
    general = OAuth2Rules("https://provider.test/token", "https://provider.test/token")
    return (general, *(effective_rules(catalogue.get(slug), {}) for slug in SPEAKERS))


RULES = rules_to_try()


def check(answer: Answer, verdict: Verdict) -> None:
    """What holds for every answer, however odd."""
    shape = read_body(answer.body).shape
    match verdict:
        case Revoked(code=code, detail=detail):
            assert CODE.fullmatch(code), code
            assert detail is None or CODE.fullmatch(detail), detail
            assert answer.status < 500 and answer.status != 429  # noqa: PT018
            assert not 300 <= answer.status < 400
            assert shape not in {Shape.EMPTY, Shape.BROKEN}
        case Granted(tokens=tokens):
            assert 200 <= answer.status < 300
            assert tokens.access_token.reveal()
            assert tokens.expires_at is None or tokens.expires_at > SENT
        case Misconfigured(code=code) | Unavailable(code=code):
            assert code is None or CODE.fullmatch(code), code
        case RateLimited(retry_after=wait):
            assert wait is None or timedelta(0) <= wait <= timedelta(hours=1)
        case _:
            raise AssertionError(verdict)


def try_one(data: bytes) -> None:
    """One input: two bytes of status and header, one of rules, the rest is the body."""
    provider = atheris.FuzzedDataProvider(data)
    status = provider.ConsumeIntInRange(0, 599)
    rules = RULES[provider.ConsumeIntInRange(0, len(RULES) - 1)]
    header = provider.ConsumeIntInRange(0, len(HEADERS))
    headers = {HEADERS[header]: provider.ConsumeUnicodeNoSurrogates(24)} if header < len(HEADERS) else {}
    answer = Answer(status, headers, provider.ConsumeBytes(LONGEST))
    verdict = reading.classify(answer, rules, sent_at=SENT, now=SENT, fallback_lifetime=LIFE)
    check(answer, verdict)


def main() -> None:
    """Fuzz for as long as libFuzzer's arguments say."""
    with tempfile.TemporaryDirectory() as seeds:
        for number, it in enumerate(built_in_corpus()):
            # FuzzedDataProvider takes its numbers from the end of the input.
            tail = bytes([len(HEADERS), 0]) + it.answer.status.to_bytes(2, "little")
            Path(seeds, f"{number:04}").write_bytes(it.answer.body + tail)
        atheris.Setup([*sys.argv, f"-max_len={LONGEST}", "-timeout=5", seeds], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
