"""`python -m tokenkeep` is the command line."""

from tokenkeep.cli.main import app

app(prog_name="tokenkeep")
