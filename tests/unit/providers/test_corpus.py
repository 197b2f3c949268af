"""The collected answers of real token endpoints, each with the label that a person gave it."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.verdict import Granted, Misconfigured, RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.providers.catalogue import Catalogue, load_catalogue
from tokenkeep.providers.classify import classify
from tokenkeep.providers.meaning import Meaning
from tokenkeep.providers.rules import OAuth2Rules
from tokenkeep.providers.scoring import built_in_corpus, read_corpus, score

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CATALOGUE = load_catalogue()
CORPUS = tuple(built_in_corpus())
LEAST_EXACT = 0.95
LEAST_EXACT_WITHOUT_CATALOGUE = 0.92
RULES = OAuth2Rules("https://provider.test/token", "https://provider.test/token")

VERDICTS: dict[Meaning, tuple[type[Verdict], ...]] = {
    # Some successes are not OAuth 2's: they hold no access token that could be stored.
    Meaning.OK: (Granted, Unavailable),
    Meaning.REVOKED: (Revoked,),
    Meaning.CLIENT_MISCONFIGURED: (Misconfigured,),
    Meaning.INVALID_REQUEST: (Misconfigured,),
    Meaning.RATE_LIMITED: (RateLimited,),
    Meaning.TRANSIENT: (Unavailable,),
    Meaning.UNCLEAR: (Unavailable,),
}


def rules_of(slug: str) -> OAuth2Rules:
    provider = CATALOGUE.providers.get(slug)
    if provider is None:
        return RULES
    return replace(RULES, answers=provider.answers, access_token_path=provider.access_token_path)


def test_no_label_is_missed_hard() -> None:
    scored = score(CORPUS, CATALOGUE)
    assert [read for read in scored.missed if read.is_hard_miss] == []
    assert scored.hard_misses == 0


def test_nearly_all_labels_are_met_exactly() -> None:
    scored = score(CORPUS, CATALOGUE)
    assert len(scored.reads) > 900
    assert scored.exact / len(scored.reads) >= LEAST_EXACT


def test_the_rules_carry_over_to_providers_that_nobody_has_described() -> None:
    scored = score(CORPUS, Catalogue({}))
    disabled = [read for read in scored.missed if read.said is Meaning.REVOKED]
    # Both speak of revocation in so many words, and mean something else at their own providers alone.
    assert {read.of.provider for read in disabled} <= {"docusign", "linkedin"}
    assert scored.exact / len(scored.reads) >= LEAST_EXACT_WITHOUT_CATALOGUE


def test_every_meaning_becomes_its_verdict() -> None:
    for read in score(CORPUS, CATALOGUE).reads:
        verdict = classify(read.of.answer, rules_of(read.of.provider), sent_at=NOW, now=NOW)
        assert isinstance(verdict, VERDICTS[read.said]), read


def test_a_corpus_of_ones_own_is_read_the_same_way() -> None:
    line = {"provider": "acme", "http_status": 400, "body": '{"error":"invalid_grant"}', "verdict": "transient"}
    scored = score(read_corpus(["", json.dumps(line)]), CATALOGUE)
    (miss,) = scored.missed
    assert (miss.of.line, miss.said, miss.is_hard_miss) == (2, Meaning.REVOKED, True)
    assert scored.table()[Meaning.TRANSIENT][Meaning.REVOKED] == 1


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"provider": "acme"}', '{"provider":"a","http_status":200,"verdict":"dead"}']
)
def test_a_line_that_is_no_labelled_answer_is_named(line: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        list(read_corpus(["", line]))
    assert caught.value.field == "line 2"
