"""`tokenkeep keys rotate`, and the question whether every process has a key."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import typer

from tokenkeep.adapters.postgres.keyring_holders import PostgresKeyringHolders
from tokenkeep.adapters.postgres.wrapped_keys import PostgresWrappedKeys
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.application.key_rotation import Rotated
from tokenkeep.application.rotate_keys import RotateKeys
from tokenkeep.bootstrap import ProcessClocks
from tokenkeep.cli.accounts.progress import Advance
from tokenkeep.cli.interruption import Interruption
from tokenkeep.cli.keys.installation import find_installation, opened_database, opened_keyring
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.key_removal import untold, without_key
from tokenkeep.settings import Settings

if TYPE_CHECKING:
    from tokenkeep.adapters.postgres.engine import Database

_INTERRUPTED = 130


def require_key_everywhere(settings: Settings, key: str) -> None:
    """Raises `SettingsError` while a process that is alive lacks this key, or when the database can't be asked."""

    async def ask() -> None:
        async with opened_database(settings) as database:
            await _require(database, key)

    asyncio.run(ask())


async def _require(database: "Database", key: str) -> None:
    told = PostgresKeyringHolders(database)
    now, holders = await told.all()
    mute = untold(await told.connected(), holders, now)
    if mute:
        raise SettingsError(
            f"a process `{mute[0]}` is at the database and tells nothing of its keys, so nobody knows whether it has {key}:"
            " bring all to this release first"
        )
    lacking = [holder.name for holder in without_key(key, holders, now)]
    if lacking:
        raise SettingsError(
            f"{key} is not in the keyring of every process: {', '.join(lacking)} could not open what it wraps."
            " Put it into their keyrings first, behind the current key"
        )


def rotate_keys(*, rows_per_s: float, unasked: bool, as_json: bool) -> int:
    """Rotate, with a bar on a terminal; the exit code."""
    settings = find_installation()
    ring = opened_keyring(settings)

    async def run() -> Rotated:
        interruption = Interruption()
        interruption.listen()
        async with opened_database(settings) as database:
            if not unasked:
                await _require(database, ring.current)
            keys = PostgresWrappedKeys(database)
            use = await keys.use()
            _say_who_is_behind(ring.current, [it.name for it in use.present() if it.key_ids[0] != ring.current])
            total = sum(use.total(key_id) for key_id in use.rows if key_id != ring.current)
            with Advance(f"wrapping by {ring.current}", total) as bar:
                rotate = RotateKeys(
                    keys,
                    Vault(ring, cached_keys=1),
                    ProcessClocks(boottime),
                    rows_per_s=rows_per_s,
                    progress=lambda _, count: bar.step(count),
                    is_stopped=interruption.stop.is_set,
                )
                return await rotate(ring.current)

    done = asyncio.run(run())
    typer.echo(json.dumps(_document(done)) if as_json else _words(done))
    if done.stopped:
        return _INTERRUPTED
    return 0 if done.is_complete else 1


def _say_who_is_behind(key: str, names: list[str]) -> None:
    if names:
        typer.echo(
            f"{', '.join(names)}: another key than {key} is current there; what they seal will want another rotation",
            err=True,
        )


def _document(done: Rotated) -> dict[str, Any]:
    return {
        "key": done.key_id,
        "rewrapped": dict(done.rewrapped),
        "failed": dict(done.failed),
        "left": done.left,
        "stopped": done.stopped,
        "complete": done.is_complete,
    }


def _words(done: Rotated) -> str:
    count = sum(done.rewrapped.values())
    lines = [f"{count} rows wrapped anew by {done.key_id}"]
    lines += [f"  {table}: {rows}" for table, rows in sorted(done.rewrapped.items()) if rows]
    lines += [
        f"{table}: {rows} rows do not open: the keyring lacks their key, or they were altered"
        for table, rows in sorted(done.failed.items())
        if rows
    ]
    if done.stopped:
        lines.append("stopped; run it again to go on")
    elif done.left:
        lines.append(f"{done.left} rows were held or kept changing; run it again")
    elif done.is_complete:
        lines.append("no row is left on another key; `tokenkeep keys status` says which keys may be removed")
    return "\n".join(lines)
