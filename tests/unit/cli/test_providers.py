"""`tokenkeep providers` and `tokenkeep bench verdict`, as their users call them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tokenkeep.cli.main import app

RUNNER = CliRunner()


def run(*arguments: str, code: int = 0, **environment: str) -> Result:
    result = RUNNER.invoke(app, list(arguments), env=environment)
    assert result.exit_code == code, result.output
    return result


def test_the_list_can_be_narrowed() -> None:
    listed = json.loads(run("providers", "list", "--auth-type", "oauth1", "--json").stdout)
    assert {entry["auth_type"] for entry in listed} == {"oauth1"}
    found = run("providers", "list", "--find", "xero").stdout
    assert "Xero" in found
    assert "\n1 provider\n" in found


def test_an_entry_is_shown_with_how_surely_each_fact_is_known() -> None:
    shown = run("providers", "show", "airtable").stdout
    assert "https://airtable.com/oauth2/v1/token" in shown
    assert "recalled" in shown
    whole = json.loads(run("providers", "show", "airtable", "--json").stdout)
    assert whole["capabilities"]["refresh"] is True
    assert whole["options_schema"]["properties"]["access_token_ttl_s"]["default"] == 3600


def test_a_slug_that_is_mistyped_brings_the_nearest() -> None:
    assert "zoho" in run("providers", "show", "zohoo", code=1).stderr


def test_a_file_of_ones_own_is_checked(tmp_path: Path) -> None:
    sound, wrong = tmp_path / "acme.yaml", tmp_path / "wrong.yaml"
    sound.write_text("name: Acme\nauth_type: oauth2\ntoken_url: https://acme.test/token\n")
    wrong.write_text("name: Acme\nauth_type: oauth2\ntoken_url: acme.test\n")
    assert run("providers", "check", str(sound)).stdout == "acme.yaml: fine: Acme, oauth2\n"
    checked = run("providers", "check", str(sound), str(wrong), code=1)
    assert checked.stderr == "wrong.yaml: token_url: expected an absolute URL such as https://example.com/token\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("acme.yml", "name: Acme\n", "acme.yml: a provider's file is named after its slug: acme.yaml"),
        ("acme.yaml", "name: [\n", "acme.yaml: is not YAML"),
        ("acme.yaml", "extends: nobody\n", "acme.yaml: extends: there is no such provider to extend"),
        ("Acme.yaml", "name: Acme\nauth_type: basic\n", "Acme.yaml: a slug has lower-case letters, digits and hyphens"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line(tmp_path: Path, name: str, content: str, said: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    assert run("providers", "check", str(file), code=1).stderr.startswith(said)


def test_a_directory_of_ones_own_is_part_of_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text("name: Acme\nauth_type: bearer\n")
    listed = json.loads(run("providers", "list", "--json", TOKENKEEP_PROVIDERS_DIR=str(tmp_path)).stdout)
    (own,) = (entry for entry in listed if entry["slug"] == "acme")
    assert own["origin"] == str(tmp_path)


def test_a_wrong_file_in_that_directory_ends_a_command_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text("name: Acme\nauth_type: magic\n")
    result = run("providers", "list", code=1, TOKENKEEP_PROVIDERS_DIR=str(tmp_path))
    assert result.stderr.startswith("acme.yaml: auth_type: expected one of oauth2")


def test_the_bench_tells_a_corpus_by_verdict(tmp_path: Path) -> None:
    lines = [
        {
            "provider": "acme",
            "http_status": 400,
            "headers": {},
            "body": '{"error":"invalid_grant"}',
            "verdict": "revoked",
        },
        {"provider": "acme", "http_status": 502, "headers": {}, "body": "", "verdict": "revoked"},
        {
            "provider": "acme",
            "http_status": 400,
            "headers": {},
            "body": '{"error":"invalid_grant"}',
            "verdict": "unclear",
        },
    ]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = json.loads(run("bench", "verdict", "--corpus", str(corpus), "--json").stdout)
    assert (told["total"], told["exact"], told["hard_misses"]) == (3, 1, 1)
    assert told["by_verdict"]["revoked"] == {"total": 2, "exact": 1, "said": {"revoked": 1, "transient": 1}}
    assert [(miss["line"], miss["said"], miss["hard"]) for miss in told["missed"]] == [
        (3, "revoked", True),
        (2, "transient", False),
    ]
    assert "3 answers, 1 exact (33.3%), 1 hard misses" in run("bench", "verdict", "--corpus", str(corpus)).stdout


def test_a_corpus_that_is_none_is_refused_in_a_line(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("{}\n")
    assert run("bench", "verdict", "--corpus", str(corpus), code=1).stderr.startswith("line 1: no labelled answer")
