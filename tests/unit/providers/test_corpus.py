"""The collected answers of real token endpoints, each with the label that a person gave it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tokenkeep.domain.verdict import Granted, Misconfigured, RateLimited, Revoked, Unavailable, Verdict
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.answer_body import read_body
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.classify import classify
from tokenkeep.providers.meaning import Meaning
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.reading import read_answer
from tokenkeep.providers.rules import OAuth2Rules

CORPUS = Path(__file__).parents[2] / "data" / "errors.jsonl"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
CATALOGUE = load_catalogue()
GENERIC = effective_rules(CATALOGUE.get("generic-oauth2"), {"token_url": "https://provider.test/token"})
LEAST_EXACT = 0.94

VERDICTS: dict[Meaning, type[Verdict]] = {
    Meaning.OK: Granted,
    Meaning.REVOKED: Revoked,
    Meaning.CLIENT_MISCONFIGURED: Misconfigured,
    Meaning.INVALID_REQUEST: Misconfigured,
    Meaning.RATE_LIMITED: RateLimited,
    Meaning.TRANSIENT: Unavailable,
    Meaning.UNCLEAR: Unavailable,
}


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


def rules_for(slug: str) -> OAuth2Rules:
    return effective_rules(CATALOGUE.get(slug), {}) if slug in CATALOGUE.providers else GENERIC


def answer_of(line: dict[str, Any]) -> Answer:
    return Answer(line["http_status"], line["headers"], line["body"].encode())


def meaning_of(line: dict[str, Any], rules: OAuth2Rules) -> Meaning:
    answer = answer_of(line)
    body = read_body(answer.body)
    return read_answer(answer, body, token_path=rules.access_token_path, rules=rules.answers).meaning


def is_hard_miss(said: Meaning, label: str) -> bool:
    """A live account disabled, rubbish stored, or a token set thrown away."""
    return said != label and (said is Meaning.REVOKED or Meaning.OK in {said, Meaning(label)})


def test_no_label_is_missed_hard() -> None:
    missed = [line for line in lines() if is_hard_miss(meaning_of(line, rules_for(line["provider"])), line["verdict"])]
    assert missed == []


def test_no_label_is_missed_hard_without_the_catalogue_either() -> None:
    assert [line for line in lines() if is_hard_miss(meaning_of(line, GENERIC), line["verdict"])] == []


def test_nearly_all_labels_are_met_exactly() -> None:
    corpus = lines()
    met = [line for line in corpus if meaning_of(line, rules_for(line["provider"])) == line["verdict"]]
    assert len(met) / len(corpus) >= LEAST_EXACT


def test_every_meaning_becomes_its_verdict() -> None:
    for line in lines():
        rules = rules_for(line["provider"])
        verdict = classify(answer_of(line), rules, sent_at=NOW, now=NOW)
        assert isinstance(verdict, VERDICTS[meaning_of(line, rules)]), line
