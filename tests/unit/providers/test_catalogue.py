"""The catalogue and its data files."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import CatalogueError, NotFound
from tokenkeep.domain.rotation import RotationKind
from tokenkeep.providers.catalogue import Package, load_catalogue
from tokenkeep.providers.entry import Confidence, Grant, Holder, RequestMethod
from tokenkeep.providers.facts import facts_of
from tokenkeep.providers.meaning import Meaning
from tokenkeep.providers.options import effective_rules

HEAD = "name: Acme\nauth_type: oauth2\ndocs: [https://acme.test/docs]\nconfidence: documented\n"


def load(directory: Path, text: str, name: str = "acme.yaml") -> None:
    (directory / name).write_text(text, encoding="utf-8")
    load_catalogue(directory)


def test_the_built_in_catalogue_holds_the_providers_that_products_connect_to() -> None:
    catalogue = load_catalogue()
    slugs = [provider.slug for provider in catalogue.all()]
    assert slugs == sorted(slugs)
    assert len(slugs) >= 420
    assert {"google", "quickbooks", "shopify", "slack", "twitter-oauth1", "stripe-key", "twilio", "zoom-s2s"} <= set(
        slugs
    )
    assert {f"generic-{kind}" for kind in ("oauth2", "oauth1", "api-key", "basic", "bearer", "custom")} <= set(slugs)
    assert catalogue.get("quickbooks").token_url == "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
    assert {provider.auth_type for provider in catalogue.all()} == set(AuthType)
    assert {provider.grant for provider in catalogue.all()} == set(Grant)


def test_every_built_in_entry_says_where_its_facts_come_from() -> None:
    for provider in load_catalogue().all():
        stated = {fact.name for fact in facts_of(provider)}
        named = {*provider.recalled_fields, *provider.documented_fields}
        assert provider.docs or provider.confidence is Confidence.RECALLED, provider.slug
        assert named <= stated, (provider.slug, named - stated)
        assert not set(provider.recalled_fields) & set(provider.documented_fields), provider.slug
        assert provider.categories, provider.slug


def test_no_end_user_leads_a_clients_secret_to_a_host_of_his_own() -> None:
    """What accounts fill in may name a host only inside of the provider's own domain."""
    breaks_out = ("x/", "x#", "x?", "x@y", "x:1", "x\\y")
    looked_at = 0
    for provider in load_catalogue().all():
        if provider.auth_type is not AuthType.OAUTH2:
            continue  # elsewhere the secret is the account's own
        own = {it.name: it for it in provider.placeholders if it.holder is Holder.ACCOUNT}
        for url in (provider.token_url, provider.refresh_url, provider.revocation_url):
            host = urlsplit(url or "").netloc
            for name in own.keys() & set(re.findall(r"\{([^{}]+)\}", host)):
                looked_at += 1
                foreign = (*breaks_out, "evil.example") if host.endswith(f"{{{name}}}") else breaks_out
                taken = [text for text in foreign if re.fullmatch(own[name].pattern, text)]
                assert not taken, (provider.slug, name)
    assert looked_at > 40


def test_every_built_in_oauth2_provider_but_the_generic_ones_works_without_addresses() -> None:
    for provider in load_catalogue().all():
        if provider.auth_type is AuthType.OAUTH2 and not provider.slug.startswith("generic-"):
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


def test_a_directory_of_ones_own_adds_providers(tmp_path: Path) -> None:
    text = (
        "token_url: https://{host}/t\nplaceholders: {host: {title: Host, pattern: '[a-z.]+', held_by: source}}\n"
        "answers: [{code: DEAD-Token, status: 418, means: revoked}]\naccess_token_path: data.token\n"
        "token_request_format: json\ntoken_request_method: GET\n"
        "token_headers: {user-agent: acme/1 (us)}\ntoken_param_names: {client_id: client_key}\n"
    )
    (tmp_path / "acme.yaml").write_text(HEAD + text, encoding="utf-8")
    (tmp_path / "README.md").write_text("not an entry", encoding="utf-8")
    catalogue = load_catalogue(tmp_path)
    provider = catalogue.get("acme")
    assert (provider.slug, provider.name, provider.access_token_path) == ("acme", "Acme", "data.token")
    assert provider.origin == str(tmp_path)
    assert provider.placeholders[0].name == "host"
    assert provider.answers[0].means is Meaning.REVOKED
    assert provider.answers[0].code == "dead_token"
    assert catalogue.get("google").origin == "built-in"
    rules = effective_rules(provider, {})
    assert rules.request_method is RequestMethod.GET
    assert rules.token_headers == {"user-agent": "acme/1 (us)"}
    assert rules.param_names == {"client_id": "client_key"}


def test_a_file_of_ones_own_outranks_the_built_in_entry(tmp_path: Path) -> None:
    (tmp_path / "xero.yaml").write_text("name: Mine\nauth_type: oauth2\ntoken_url: https://mine.test/token\n")
    provider = load_catalogue(tmp_path).get("xero")
    assert (provider.name, provider.refresh_rotates) == ("Mine", None)


def test_a_file_that_extends_another_entry_says_only_what_differs(tmp_path: Path) -> None:
    (tmp_path / "xero.yaml").write_text("extends: xero\naccess_token_ttl_s: 60\n")
    (tmp_path / "workspace.yaml").write_text("extends: google\nname: Workspace\nauthorize_params: {hd: acme.test}\n")
    catalogue = load_catalogue(tmp_path)
    assert (catalogue.get("xero").name, catalogue.get("xero").access_token_ttl_s) == ("Xero", 60)
    workspace = catalogue.get("workspace")
    assert (workspace.name, workspace.authorize_params) == ("Workspace", {"hd": "acme.test"})
    assert workspace.token_url == catalogue.get("google").token_url


def test_what_an_entry_extends_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, "extends: nobody\n")
    assert (caught.value.file, caught.value.field) == ("acme.yaml", "extends")


def test_packages_add_providers_and_the_directory_outranks_them(tmp_path: Path) -> None:
    entry = {"name": "Packed", "auth_type": "bearer"}
    packages = [Package("acme-providers", {"packed": entry, "xero": {"extends": "xero", "name": "Packed Xero"}})]
    (tmp_path / "packed.yaml").write_text("extends: packed\nname: Unpacked\n")
    catalogue = load_catalogue(tmp_path, packages)
    assert catalogue.get("packed").name == "Unpacked"
    assert (catalogue.get("xero").name, catalogue.get("xero").origin) == ("Packed Xero", "acme-providers")


def test_a_wrong_entry_of_a_package_is_named() -> None:
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(packages=[Package("acme-providers", {"packed": {"name": "Packed", "auth_type": "magic"}})])
    assert (caught.value.file, caught.value.field) == ("acme-providers: packed", "auth_type")


def test_memory_alone_never_makes_us_less_careful(tmp_path: Path) -> None:
    text = (
        'name: Acme\nauth_type: oauth2\ntoken_url: https://acme.test/t\nrefresh_rotates: "no"\nold_refresh_grace_s: 600\n'
        "reuse_detection: none\n"
    )
    (tmp_path / "sure.yaml").write_text(text)
    recalled = "recalled_fields: [refresh_rotates, old_refresh_grace_s, reuse_detection]\n"
    (tmp_path / "unsure.yaml").write_text(text + recalled)
    catalogue = load_catalogue(tmp_path)
    assert effective_rules(catalogue.get("sure"), {}).rotation.kind is RotationKind.NONE
    assert effective_rules(catalogue.get("unsure"), {}).rotation.kind is RotationKind.STRICT_REVOKE
    assert effective_rules(catalogue.get("unsure"), {"refresh_rotates": "no"}).rotation.kind is RotationKind.NONE


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
        ("refresh_token_ttl_s: 1.5", "refresh_token_ttl_s"),
        ("refresh_token_idle_ttl_s: 0", "refresh_token_idle_ttl_s"),
        ("refresh_not_before_expiry_s: 0", "refresh_not_before_expiry_s"),
        ("scope_separator: ''", "scope_separator"),
        ("token_request_format: xml", "token_request_format"),
        ("token_request_method: PUT", "token_request_method"),
        ("token_headers: [a]", "token_headers"),
        ("token_headers: {x-a: 1}", "token_headers.x-a"),
        ("token_headers: {X-A: b}", "token_headers.X-A"),
        ('token_headers: {"x a": b}', "token_headers"),
        ('token_headers: {x-a: "b\\r\\nc: d"}', "token_headers.x-a"),
        ("token_headers: {authorization: Basic x}", "token_headers.authorization"),
        ("token_param_names: {scope: scopes}", "token_param_names.scope"),
        ("token_param_names: {code: a b}", "token_param_names.code"),
        ("grant: password", "grant"),
        ("key_placement: query key", "key_placement"),
        ("categories: accounting", "categories"),
        ("categories: [1]", "categories.0"),
        ("single_active_access_token: maybe", "single_active_access_token"),
        ("verify: {method: GET}", "verify.url"),
        ("verify: {url: 'https://acme.test/{who}'}", "verify.url"),
        ("verify: {url: 'https://acme.test/', headers: {X-Big: a}}", "verify.headers"),
        ("credentials: {'a b': {title: A}}", "credentials.a b"),
        ("credentials: {a: {}}", "credentials.a.title"),
        ("placeholders: {host: {title: Host, pattern: a, held_by: nobody}}", "placeholders.host.held_by"),
        ("placeholders: {host: {title: Host, pattern: a, example: b}}", "placeholders.host.example"),
        ("refresh_params: [a]", "refresh_params"),
        ("refresh_params: {a: 1}", "refresh_params.a"),
        ("refresh_params: {a: '{b}'}", "refresh_params.a"),
        ("offline_scopes: [1]", "offline_scopes.0"),
        ("access_token_path: 'a..b'", "access_token_path"),
        ("placeholders: [host]", "placeholders"),
        ("verify: {url: 'https://acme.test/', external_id: '{host} + id'}", "verify.external_id"),
        ("verify: {url: 'https://acme.test/', external_id: '{access_token}'}", "verify.external_id"),
        ("placeholders: {host: {title: Host, pattern: '['}}", "placeholders.host.pattern"),
        ("placeholders: {host: {title: Host, pattern: '[a-z]+', default: '1'}}", "placeholders.host.default"),
        ("placeholders: {host: {pattern: '[a-z]+'}}", "placeholders.host.title"),
        ("placeholders: {host: {title: Host, pattern: a, required: 1}}", "placeholders.host.required"),
        ("placeholders: {host: {title: Host, pattern: a, colour: b}}", "placeholders.host.colour"),
        ("revocation_method: PUT", "revocation_method"),
        ("revocation_token: id_token", "revocation_token"),
        ("revocation_auth: basic", "revocation_auth"),
        ("revocation_auth: 'header content-length: {access_token}'", "revocation_auth"),
        ("revocation_format: xml", "revocation_format"),
        ("revocation_params: {a: '{client_secret}'}", "revocation_params.a"),
        ("revocation_params: {a: '{key}'}", "revocation_params.a"),
        ("revocation_url: 'https://acme.test/{key}'", "revocation_url"),
        ("revocation_url: 'https://acme.test/?t={token}'", "revocation_url"),
        ("revocation_url: 'https://acme.test/{token}?t={access_token}'", "revocation_url"),
        ("revocation_url: 'https://{token}/'", "revocation_url"),
        ("revocation_url: 'https://acme.test{token}'", "revocation_url"),
        ("answers: {code: x}", "answers"),
        ("answers: [{means: revoked}]", "answers.0"),
        ("answers: [{code: x, means: ok}]", "answers.0.means"),
        ("answers: [{code: x, means: dead}]", "answers.0.means"),
        ("answers: [{code: x, means: revoked, status: 99}]", "answers.0.status"),
        ("signed_token_requests: maybe", "signed_token_requests"),
        (
            "token_url: 'https://{host}/'\nplaceholders: {host: {title: Host, pattern: '.+'}}",
            "placeholders.host.pattern",
        ),
        (
            "revocation_url: 'https://a.{host}.test/'\nplaceholders: {host: {title: Host, pattern: '[a-z/]+'}}",
            "placeholders.host.pattern",
        ),
        ("token_url: 'https://acme.test/{refresh_token}'", "token_url"),
        ("token_url: 'https://acme.test/{key}'", "token_url"),
        ("verify: {url: 'https://acme.test/', headers: {x-a: '{who}'}}", "verify.headers"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, HEAD + text)
    assert (caught.value.file, caught.value.field) == ("acme.yaml", field)
    assert str(caught.value).startswith(f"acme.yaml: {field}: ")


@pytest.mark.parametrize("missing", ["name", "auth_type"])
def test_a_missing_field_is_named(tmp_path: Path, missing: str) -> None:
    kept = [line for line in HEAD.splitlines() if not line.startswith(missing)]
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, "\n".join(kept))
    assert caught.value.field == missing


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("acme.yaml", "[1, 2"),
        ("acme.yaml", "- a"),
        ("acme.yaml", ""),
        ("acme.yaml", HEAD + "name: Twice"),
        ("Ac_me.yaml", HEAD),
    ],
)
def test_a_file_that_is_no_entry_is_named(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, text, name)
    assert caught.value.file == name


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError):
        load_catalogue(tmp_path / "nowhere")
