import socket

import pytest

from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret


def test_a_database_that_can_not_be_had_is_told_in_one_line_without_its_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listened at
        url = Secret(f"postgresql://somebody:hush@127.0.0.1:{taken.getsockname()[1]}/nothing")

        with pytest.raises(SettingsError, match=r"^TOKENKEEP_DATABASE_URL: the database can't be had: ") as raised:
            migrate(url)

    assert "\n" not in str(raised.value)
    assert "hush" not in str(raised.value)
