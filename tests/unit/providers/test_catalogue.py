"""The catalogue and its data files."""

from pathlib import Path

import pytest

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import CatalogueError, NotFound
from tokenkeep.domain.rotation import RotationKind
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.meaning import Meaning
from tokenkeep.providers.options import effective_rules

HEAD = "name: Acme\nauth_type: oauth2\ndocs: [https://acme.test/docs]\nconfidence: documented\n"


def load(directory: Path, text: str, name: str = "acme.yaml") -> None:
    (directory / name).write_text(text, encoding="utf-8")
    load_catalogue(directory)


def test_the_built_in_catalogue_holds_the_providers_with_their_sources() -> None:
    catalogue = load_catalogue()
    expected = [
        "generic-oauth2",
        "github",
        "google",
        "hubspot",
        "microsoft",
        "quickbooks",
        "salesforce",
        "slack",
        "xero",
        "zoom",
    ]
    slugs = [provider.slug for provider in catalogue.all()]
    assert slugs == sorted(slugs)
    assert set(expected) <= set(slugs)
    assert all(provider.docs for provider in catalogue.all())
    assert catalogue.get("quickbooks").token_url == "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
    assert catalogue.get("google").auth_type is AuthType.OAUTH2


def test_every_built_in_provider_but_the_generic_one_works_without_options() -> None:
    for provider in load_catalogue().all():
        if provider.auth_type is AuthType.OAUTH2 and provider.slug != "generic-oauth2":
            assert effective_rules(provider, {}).token_url.startswith("https://")


@pytest.mark.parametrize(
    ("slug", "kind"),
    [
        ("google", RotationKind.NONE),
        ("microsoft", RotationKind.UNTIL_USED),
        ("xero", RotationKind.GRACE),
        ("zoom", RotationKind.STRICT_REVOKE),
        ("quickbooks", RotationKind.STRICT_REVOKE),
        ("github", RotationKind.STRICT_REVOKE),
    ],
)
def test_rotation_follows_from_the_facts(slug: str, kind: RotationKind) -> None:
    assert effective_rules(load_catalogue().get(slug), {}).rotation.kind is kind


def test_an_unknown_provider_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        load_catalogue().get("nobody")
    assert caught.value.kind == "provider"


def test_a_directory_of_ones_own_is_read_the_same_way(tmp_path: Path) -> None:
    text = (
        "token_url: https://{host}/t\nplaceholders: {host: {title: Host, pattern: '[a-z.]+'}}\n"
        "answers: [{code: DEAD-Token, status: 418, means: revoked}]\naccess_token_path: data.token\n"
        "token_request_format: json\n"
    )
    (tmp_path / "acme.yaml").write_text(HEAD + text, encoding="utf-8")
    (tmp_path / "README.md").write_text("not an entry", encoding="utf-8")
    provider = load_catalogue(tmp_path).get("acme")
    assert (provider.slug, provider.name, provider.access_token_path) == ("acme", "Acme", "data.token")
    assert provider.placeholders[0].name == "host"
    assert provider.answers[0].means is Meaning.REVOKED
    assert provider.answers[0].code == "dead_token"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("token_urll: https://acme.test", "token_urll"),
        ("token_url: acme.test/token", "token_url"),
        ("token_url: https://acme.test:99999/", "token_url"),
        ("token_url: https://{host}/token", "token_url"),
        ("refresh_rotates: yes", "refresh_rotates"),
        ("refresh_rotates: maybe", "refresh_rotates"),
        ("old_refresh_grace_s: -1", "old_refresh_grace_s"),
        ("access_token_ttl_s: true", "access_token_ttl_s"),
        ("access_token_ttl_s: '3600'", "access_token_ttl_s"),
        ("scope_separator: ''", "scope_separator"),
        ("token_request_format: xml", "token_request_format"),
        ("refresh_params: [a]", "refresh_params"),
        ("refresh_params: {a: 1}", "refresh_params.a"),
        ("refresh_params: {a: '{b}'}", "refresh_params.a"),
        ("offline_scopes: [1]", "offline_scopes.0"),
        ("access_token_path: 'a..b'", "access_token_path"),
        ("placeholders: [host]", "placeholders"),
        ("placeholders: {host: {title: Host, pattern: '['}}", "placeholders.host.pattern"),
        ("placeholders: {host: {title: Host, pattern: '[a-z]+', default: '1'}}", "placeholders.host.default"),
        ("placeholders: {host: {pattern: '[a-z]+'}}", "placeholders.host.title"),
        ("placeholders: {host: {title: Host, pattern: a, required: 1}}", "placeholders.host.required"),
        ("placeholders: {host: {title: Host, pattern: a, colour: b}}", "placeholders.host.colour"),
        ("answers: {code: x}", "answers"),
        ("answers: [{means: revoked}]", "answers.0"),
        ("answers: [{code: x, means: ok}]", "answers.0.means"),
        ("answers: [{code: x, means: dead}]", "answers.0.means"),
        ("answers: [{code: x, means: revoked, status: 99}]", "answers.0.status"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, HEAD + text)
    assert (caught.value.file, caught.value.field) == ("acme.yaml", field)
    assert str(caught.value).startswith(f"acme.yaml: {field}: ")


@pytest.mark.parametrize("missing", ["name", "auth_type", "docs", "confidence"])
def test_a_missing_field_is_named(tmp_path: Path, missing: str) -> None:
    kept = [line for line in HEAD.splitlines() if not line.startswith(missing)]
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, "\n".join(kept))
    assert caught.value.field == missing


@pytest.mark.parametrize(
    ("name", "text"), [("acme.yaml", "[1, 2"), ("acme.yaml", "- a"), ("acme.yaml", ""), ("Ac_me.yaml", HEAD)]
)
def test_a_file_that_is_no_entry_is_named(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, text, name)
    assert caught.value.file == name


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError):
        load_catalogue(tmp_path / "nowhere")
