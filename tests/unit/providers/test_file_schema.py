"""The JSON Schema of provider files says what the reader takes."""

from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tokenkeep.domain.errors import CatalogueError
from tokenkeep.providers.entry_file import read_entry
from tokenkeep.providers.file_schema import provider_file_schema

VALIDATOR = Draft202012Validator(provider_file_schema())
HEAD = {"name": "Acme", "auth_type": "oauth2"}


def built_in() -> Iterator[tuple[str, Any]]:
    for file in resources.files("tokenkeep.providers").joinpath("data").iterdir():
        yield file.name, yaml.safe_load(file.read_text(encoding="utf-8"))


def test_it_is_a_schema_and_takes_every_built_in_file() -> None:
    Draft202012Validator.check_schema(provider_file_schema())
    faults = {name: [str(fault.message) for fault in VALIDATOR.iter_errors(content)] for name, content in built_in()}
    assert {name: said for name, said in faults.items() if said} == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"token_urll": "https://acme.test/token"},
        {"token_url": "acme.test/token"},
        {"auth_type": "magic"},
        {"auth_type": "basic", "token_url": "https://acme.test/token"},
        {"refresh_rotates": True},
        {"access_token_ttl_s": 0},
        {"refresh_params": {"a": 1}},
        {"offline_scopes": "a"},
        {"placeholders": {"host": {"title": "Host"}}},
        {"answers": [{"means": "revoked"}]},
        {"answers": [{"code": "x", "means": "ok"}]},
        {"verify": {"method": "GET"}},
    ],
)
def test_it_refuses_what_the_reader_refuses(changes: dict[str, Any]) -> None:
    content = {**HEAD, **changes}
    assert list(VALIDATOR.iter_errors(content))
    with pytest.raises(CatalogueError):
        read_entry("acme.yaml", "acme", content)
