"""What of libpq's addresses is taken, and what is refused by name."""

from pathlib import Path

import pytest

from tokenkeep.adapters.postgres.address import asyncpg_url, read_address
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

_PREFIX = "TOKENKEEP_DATABASE_URL: "


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgres://u:p@h/n", "postgresql://u:p@h/n"),
        ("postgresql+asyncpg://u@h:5433/n", "postgresql://u@h:5433/n"),
        ("postgresql://h/n?sslmode=require", "postgresql://h/n?sslmode=require"),
        ("postgresql://h/n?ssl=require&database=m", "postgresql://h/n?sslmode=require&dbname=m"),
        ("postgresql://u@/n?host=/run/a%20b+c", "postgresql://u@/n?host=%2Frun%2Fa%20b%2Bc"),
        ("postgresql://a:1,b:2/n?target_session_attrs=primary", "postgresql://a:1,b:2/n?target_session_attrs=primary"),
        ("postgresql://[::1]:5432/n", "postgresql://[::1]:5432/n"),
        ("postgresql:///n", "postgresql:///n"),
        ("postgresql://h/n?gssencmode=disable&channel_binding=prefer", "postgresql://h/n"),
        ("postgresql://h/n?options=-c%20statement_timeout%3D0", "postgresql://h/n?options=-c%20statement_timeout%3D0"),
    ],
)
def test_what_the_driver_can_do_reaches_it(url: str, dsn: str) -> None:
    assert read_address(Secret(url)).dsn.reveal() == dsn


def test_a_name_and_a_timeout_are_ours_to_apply() -> None:
    address = read_address(Secret("postgresql://h/n?application_name=billing&connect_timeout=3"))

    assert (address.application_name, address.connect_timeout_s) == ("billing", 3)
    assert address.dsn.reveal() == "postgresql://h/n"
    assert read_address(Secret("postgresql://h/n")).connect_timeout_s == 10


def test_the_systems_roots_can_be_asked_for() -> None:
    address = read_address(Secret("postgresql://h/n?sslrootcert=system"))

    assert address.tls is not None
    assert address.tls.check_hostname
    assert address.dsn.reveal() == "postgresql://h/n"


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("postgresql://h/n?sslmode=on", "sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("postgresql://h/n?connect_timeout=0", "connect_timeout must be a whole number of seconds from 1 to 300"),
        (
            "postgresql://h/n?channel_binding=require",
            "channel_binding must be disable or prefer; asyncpg, the driver, can't do what else it asks for",
        ),
        (
            "postgresql://h/n?keepalives_idle=30",
            "the parameter keepalives_idle is not one that can be given; take it out of the address",
        ),
        (
            "postgresql://h/n?hush%3D=1",
            "the parameter behind the question mark is not one that can be given; take it out of the address",
        ),
        ("postgresql://h/n?port=high", "port must be a number"),
        ("postgresql://h/n?sslrootcert=/nowhere/ca.pem", "sslrootcert: /nowhere/ca.pem can't be read: No such file or directory"),
        ("postgresql://h/n?sslrootcert=system&sslmode=require", "sslrootcert=system goes with sslmode=verify-full alone"),
        ("postgresql://h/n?sslrootcert=system&sslcrl=/dev/null", "sslcrl does not go with sslrootcert=system"),
    ],
)  # fmt: skip
def test_the_rest_is_refused_by_name_and_no_value_is_shown(url: str, line: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_address(Secret(url))

    assert str(refused.value) == _PREFIX + line
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h/n",
        "postgresql://u:pa/ss:x@h/n",
        "postgresql://u:pa#ss@h/n",
        "postgresql://h:port/n",
        "postgresql://[::1/n",
        "postgresql://u:p?x@h/n",
    ],
)
def test_what_is_no_address_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_address(Secret(url))

    assert str(refused.value).startswith(_PREFIX)
    assert "pa" not in str(refused.value).removeprefix(_PREFIX).replace("password", "").replace("parameter", "")


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "client.pem"
    file.write_text("nothing")

    with pytest.raises(SettingsError, match="sslcert and sslkey do not hold a certificate and its key"):
        read_address(Secret(f"postgresql://h/n?sslrootcert=system&sslcert={file}&sslkey={file}"))


def test_sqlalchemy_is_told_the_user_the_hosts_and_the_database_alone() -> None:
    url = asyncpg_url(Secret("postgresql://u:p@a,b:2/n?sslmode=require&dbname=m&connect_timeout=3"))

    assert url.render_as_string(hide_password=False) == "postgresql+asyncpg://u:p@/m?host=a%3A5432&host=b%3A2"
