"""The command line: `tokenkeep`.

One module per command or group of commands. What a command needs is imported when it runs, so that `--help` is quick
and a process loads nothing of another.
"""

from importlib.util import find_spec

if find_spec("typer") is None:
    # The base install is the SDK; without this line its `tokenkeep` script would end in a traceback.
    msg = "the command line needs more than the SDK: pip install 'tokenkeep[server,embedded]'"
    raise SystemExit(msg)
