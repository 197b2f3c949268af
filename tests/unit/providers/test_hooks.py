"""Hooks in the catalogue and in options: which one counts, and how carefully it is treated."""

from datetime import timedelta
from typing import Any

import pytest

from tokenkeep.domain.errors import CatalogueError, InvalidInput
from tokenkeep.domain.rotation import Quarantine, Rotation, RotationKind
from tokenkeep.providers.catalogue import Package, load_catalogue
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.entry_file import read_entry
from tokenkeep.providers.options import effective_rules, url_options, validate_options

ENTRY = {
    "name": "Acme",
    "auth_type": "oauth2",
    "token_url": "https://acme.test/token",
    "refresher": "acme-sessions",
    "access_token_path": "payload.token",
}
CALLOUT = {"refresh_callout_url": "https://hooks.test/refresh"}


def entry(**changes: Any) -> Provider:
    return read_entry("acme.yaml", "acme", {**ENTRY, **changes})


def test_an_entry_names_its_refresher() -> None:
    rules = effective_rules(entry(), {})
    assert (rules.refresher, rules.refresh_callout_url, rules.is_hooked) == ("acme-sessions", None, True)


def test_a_package_can_bring_an_entry_with_its_refresher() -> None:
    catalogue = load_catalogue(None, [Package("entry point acme", {"acme": ENTRY})])
    assert effective_rules(catalogue.get("acme"), {}).refresher == "acme-sessions"


def test_what_a_source_says_outranks_the_entry() -> None:
    other = effective_rules(entry(), {"refresher": "other"})
    assert other.refresher == "other"
    callout = effective_rules(entry(), CALLOUT)
    assert (callout.refresher, callout.refresh_callout_url) == (None, "https://hooks.test/refresh")


def test_a_source_names_one_hook_at_most() -> None:
    with pytest.raises(InvalidInput, match="refresh_callout_url is given already") as caught:
        validate_options(entry(), {**CALLOUT, "refresher": "other"})
    assert caught.value.field == "options.refresher"


def test_where_a_callout_leads_is_looked_at_as_every_address_is() -> None:
    assert list(url_options(entry(), CALLOUT)) == [("options.refresh_callout_url", "https://hooks.test/refresh")]


@pytest.mark.parametrize("name", ["", "Acme", "a b", "-a", 7, "x" * 65])
def test_a_name_that_no_refresher_can_have_is_refused(name: object) -> None:
    with pytest.raises(InvalidInput, match=r"options\.refresher"):
        validate_options(entry(), {"refresher": name})


def test_an_entry_holds_no_callout() -> None:
    """Its secret is a source's."""
    with pytest.raises(CatalogueError, match="refresh_callout_url"):
        entry(**CALLOUT)


def test_a_hook_of_unknown_kind_counts_as_the_strictest() -> None:
    assert effective_rules(entry(), {}).rotation.kind is RotationKind.STRICT_REVOKE
    assert effective_rules(entry(), CALLOUT).rotation.kind is RotationKind.STRICT_REVOKE
    assert effective_rules(entry(refresh_rotates="no"), {}).rotation.kind is RotationKind.NONE
    assert effective_rules(entry(), {"old_refresh_grace_s": 600}).rotation.kind is RotationKind.GRACE


def test_a_token_that_somebody_else_presents_may_leave_as_late_as_our_deadline() -> None:
    """So a grace's quarantine, which would begin to run out then, leaves it a deadline more."""
    quarantine = Quarantine(strict=timedelta(seconds=120), provider_deadline=timedelta(seconds=20))
    ours = Rotation(RotationKind.GRACE, timedelta(seconds=60))
    carried = Rotation(RotationKind.GRACE, timedelta(seconds=60), carried=True)
    assert quarantine.span(ours) == timedelta(seconds=25)
    assert quarantine.span(carried) == timedelta(seconds=45)
    assert effective_rules(entry(), {}).rotation.carried
    plain = read_entry("acme.yaml", "acme", {name: said for name, said in ENTRY.items() if name != "refresher"})
    assert not effective_rules(plain, {}).rotation.carried


def test_machines_have_nothing_that_a_hook_could_present() -> None:
    catalogue = load_catalogue(None)
    for options in (CALLOUT, {"refresher": "acme"}):
        given = {"token_url": "https://acme.test/token", **options}
        with pytest.raises(InvalidInput, match="a machine presents no refresh token") as caught:
            effective_rules(catalogue.get("generic-client-credentials"), given)
        assert caught.value.field == f"options.{next(iter(options))}"
