"""Commands over the HTTP API, where what they are given or what they meet can't be: one line, exit code 1."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway import answering
from tokenkeep.cli.http_api.access import find_access
from tokenkeep.cli.main import app

NO_ADDRESS = "must be a URL such as https://tokenkeep.example.com"
DISABLE = ["accounts", "disable", "acc_" + "0" * 32]


@pytest.fixture
def accounts_file(tmp_path: Path) -> Path:
    file = tmp_path / "accounts.ndjson"
    file.write_text("{}\n")
    return file


@pytest.fixture
def gateway(request: pytest.FixtureRequest) -> Iterator[str]:
    """Something in the API's place that answers 200 to everything, with the body that is the fixture's parameter."""
    with answering(200, request.param) as url:
        yield url


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--key", "tk_key"])


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:80a",
        "http://localhost:99999",
        "http://[x",
        "http://a..b",
        "http://" + "a" * 70,
        "http://\N{SNOWMAN}.test",
        "ftp://localhost",
        "localhost:8080",
        "http://user:password@localhost",
        "",
    ],
)
@pytest.mark.parametrize("command", [["accounts", "list"], ["accounts", "import"], ["sources", "list"], DISABLE])
def test_an_address_that_can_be_none_is_refused_by_the_flags_name(
    command: list[str], url: str, accounts_file: Path
) -> None:
    given = [*command, str(accounts_file)] if command[-1] == "import" else command
    result = run(*given, "--api", url)
    assert (result.exit_code, result.stderr) == (1, f"--api: {NO_ADDRESS}\n")


@pytest.mark.parametrize("url", ["http://localhost:80a", "http://a..b", "http://\N{SNOWMAN}.test"])
def test_such_an_address_in_the_environment_is_refused_by_its_name(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENKEEP_PUBLIC_URL", url)
    result = run("accounts", "list")
    assert (result.exit_code, result.stderr) == (1, f"TOKENKEEP_PUBLIC_URL: {NO_ADDRESS}\n")


@pytest.mark.parametrize("environment", ["\N{LATIN SMALL LETTER U WITH DIAERESIS}", "a\nb", " a"])
@pytest.mark.parametrize("command", [["accounts", "list"], ["accounts", "import"], ["api-keys", "list"]])
def test_an_environment_that_no_header_can_hold_is_refused_by_the_flags_name(
    command: list[str], environment: str, accounts_file: Path
) -> None:
    given = [*command, str(accounts_file)] if command[-1] == "import" else command
    result = run(*given, "--environment", environment)
    assert (result.exit_code, result.stderr) == (1, "--environment: is not the name of an environment\n")


@pytest.mark.parametrize(
    "gateway", [b"<html>sign in</html>", b"", b"[]", b"{}", b'{"detail": 1}', b"\xff\xfe"], indirect=True
)
@pytest.mark.parametrize("command", [["accounts", "list"], ["sources", "list"], DISABLE])
def test_what_is_not_the_api_is_told_from_it(command: list[str], gateway: str) -> None:
    result = run(*command, "--api", gateway)
    assert (result.exit_code, result.stderr) == (1, f"{gateway} answered 200, but not as the API does\n")


@pytest.mark.parametrize("gateway", [b"<html>\nsign in\n</html>\n", b"[]\n", b"{}\n", b"\xff\xfe\n"], indirect=True)
def test_results_that_are_not_the_apis_are_told_from_them(gateway: str, accounts_file: Path) -> None:
    result = run("accounts", "import", str(accounts_file), "--api", gateway)
    assert (result.exit_code, result.stderr) == (1, f"{gateway} answered 200, but not as the API does\n")


def test_an_address_is_taken_as_it_goes_over_the_wire() -> None:
    umlaut = "\N{LATIN SMALL LETTER U WITH DIAERESIS}"
    access = find_access(f"https://b{umlaut}cher.test/{umlaut}/", "tk_key", "one")
    assert (access.url, access.environment) == ("https://xn--bcher-kva.test/%C3%BC", "one")
