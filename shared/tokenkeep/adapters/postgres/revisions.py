"""Which revisions there are, for processes that only want to know: they need no Alembic, which takes long to load."""

from functools import cache
from importlib import resources

import tokenkeep_migrations


@cache
def head_revision() -> str:
    """The revision that this code expects: the greatest number that a file of `tokenkeep_migrations.versions` begins with."""
    files = resources.files(tokenkeep_migrations).joinpath("versions").iterdir()
    return max(number for number, _, _ in (file.name.partition("_") for file in files) if number.isdecimal())
