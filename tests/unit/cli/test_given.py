from pathlib import Path

import pytest

from tokenkeep.cli.sources.given import parsed_options, read_secret
from tokenkeep.domain.errors import SettingsError

SCHEMAS = {
    "hostname": {"type": "string"},
    "old_refresh_grace_s": {"type": "integer"},
    "token_params": {"type": "object"},
}


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ("hostname=acme.example", {"hostname": "acme.example"}),
        ("hostname=4711", {"hostname": "4711"}),
        ('hostname="4711"', {"hostname": "4711"}),
        ("old_refresh_grace_s=30", {"old_refresh_grace_s": 30}),
        ('token_params={"audience": "books"}', {"token_params": {"audience": "books"}}),
        ("key_placement=header x-api-key: {key}", {"key_placement": "header x-api-key: {key}"}),
        ("unknown=true", {"unknown": True}),
        ("hostname=", {"hostname": ""}),
        ("token_url=https://a.test/?b=c", {"token_url": "https://a.test/?b=c"}),
    ],
)
def test_a_value_is_json_where_it_is_and_a_text_where_the_provider_wants_one(
    given: str, option: dict[str, object]
) -> None:
    assert parsed_options([given], SCHEMAS) == option


@pytest.mark.parametrize("given", [["hostname"], ["=x"], ["a=1", "a=2"]])
def test_what_is_no_option_is_refused(given: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"^--option: "):
        parsed_options(given, {})


@pytest.mark.parametrize("content", [b"canary", b"canary\n", b"canary\r\n"])
def test_a_secrets_file_ends_where_its_secret_does(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert read_secret("--client-secret-file", str(tmp_path / "secret")) == "canary"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"canary" * 100_000])
def test_what_is_no_secret_is_refused_without_being_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SettingsError, match=r"^--hook-secret-file: ") as refused:
        read_secret("--hook-secret-file", str(tmp_path / "secret"))
    assert "canary" not in str(refused.value)
