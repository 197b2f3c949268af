"""`tokenkeep keys status`, and what may be removed or forgotten by it."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from tokenkeep.adapters.postgres.keyring_holders import PostgresKeyringHolders
from tokenkeep.adapters.postgres.wrapped_keys import PostgresWrappedKeys
from tokenkeep.cli.keys.installation import find_installation, known_keys, opened_database
from tokenkeep.domain.errors import InvalidInput, SettingsError
from tokenkeep.domain.key_removal import KeyringHolder, KeyringUse, reasons_to_keep
from tokenkeep.settings import Settings


def show_status(*, removable: str | None, as_json: bool) -> int:
    """Print how the keys stand; the exit code."""
    settings = find_installation()
    known = known_keys(settings)
    use = asyncio.run(_use(settings))
    wanted = _all_keys(known, use) if removable is None else [removable]
    kept = {key_id: _reasons(key_id, known, use) for key_id in wanted}
    if as_json:
        typer.echo(json.dumps(_document(known, use, kept)))
    elif removable is None:
        _print(known, use, kept)
    else:
        typer.echo("\n".join(kept[removable]) or f"{removable} may be removed")
    return 0 if removable is None or not kept[removable] else 1


def require_removable(settings: Settings, key: str) -> None:
    """Raises `SettingsError`, with each reason, when this key may not be removed."""
    reasons = _reasons(key, known_keys(settings), asyncio.run(_use(settings)))
    if reasons:
        raise SettingsError(f"{key} may not be removed: {'; '.join(reasons)}")


def forget_process(text: str) -> str:
    """Take a silent process out of the account; what was done, in words.

    Raises:
        InvalidInput: There is no such process, or it is alive.
    """
    try:
        wanted = UUID(text)
    except ValueError:
        raise InvalidInput("PROCESS", "must be an id as `tokenkeep keys status` shows it") from None

    async def run() -> str:
        async with opened_database(find_installation()) as database:
            holders = PostgresKeyringHolders(database)
            now, found = await holders.all()
            for holder in found:
                if holder.id == wanted and holder.is_silent(now):
                    await holders.withdraw(wanted)
                    return f"forgot {holder.name}"
                if holder.id == wanted:
                    raise InvalidInput("PROCESS", f"{holder.name} is alive")
        raise InvalidInput("PROCESS", "there is none of this id")

    return asyncio.run(run())


async def _use(settings: Settings) -> KeyringUse:
    async with opened_database(settings) as database:
        return await PostgresWrappedKeys(database).use()


def _all_keys(known: tuple[str, ...], use: KeyringUse) -> list[str]:
    held = (key_id for holder in use.holders for key_id in (*holder.key_ids, *sorted(holder.spooled_keys)))
    return list(dict.fromkeys((*known, *sorted(use.rows), *held)))


def _reasons(key_id: str, known: tuple[str, ...], use: KeyringUse) -> list[str]:
    current = ["it is the current key of this keyring"] if known[:1] == (key_id,) else []
    return current + reasons_to_keep(key_id, use)


def _document(known: tuple[str, ...], use: KeyringUse, kept: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "counted_at": _time(use.counted_at),
        "keys": [
            {
                "id": key_id,
                "in_keyring": key_id in known,
                "current": known[:1] == (key_id,),
                "rows": use.total(key_id),
                "tables": dict(use.rows.get(key_id, {})),
                "removable": not reasons,
                "reasons": reasons,
            }
            for key_id, reasons in kept.items()
        ],
        "processes": [_holder(holder, use) for holder in use.present()],
    }


def _holder(holder: KeyringHolder, use: KeyringUse) -> dict[str, Any]:
    return {
        "id": str(holder.id),
        "process": holder.process,
        "host": holder.host,
        "pid": holder.pid,
        "keys": list(holder.key_ids),
        "current_since": _time(holder.current_since),
        "seen_at": _time(holder.seen_at),
        "silent": holder.is_silent(use.counted_at),
        "spool": holder.spool,
        "spooled_keys": sorted(holder.spooled_keys),
    }


def _span(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _print(known: tuple[str, ...], use: KeyringUse, kept: dict[str, list[str]]) -> None:
    console = Console(highlight=False)
    table = Table("key", "", "rows", "where", box=None, header_style="bold")
    for key_id in kept:
        role = "current" if known[:1] == (key_id,) else "" if key_id in known else "not in this keyring"
        where = ", ".join(f"{name} {count}" for name, count in sorted(use.rows.get(key_id, {}).items()))
        table.add_row(key_id, role, str(use.total(key_id)), where)
    console.print(table)
    console.print()
    table = Table("process", "current for", "seen", "keys, the current one first", box=None, header_style="bold")
    for holder in use.present():
        silent = "silent, " if holder.is_silent(use.counted_at) else ""
        table.add_row(
            holder.name,
            _span(use.counted_at - holder.current_since),
            f"{silent}{_span(use.counted_at - holder.seen_at)} ago",
            ", ".join(holder.key_ids),
        )
    console.print(table if use.present() else "no process has told which keys it has")
    console.print()
    for key_id, reasons in kept.items():
        if not reasons:
            console.print(f"{key_id} may be removed", markup=False)
        elif known[:1] != (key_id,):
            console.print(f"{key_id} must stay:", markup=False)
            for reason in reasons:
                console.print(f"  {reason}", markup=False, soft_wrap=True)
