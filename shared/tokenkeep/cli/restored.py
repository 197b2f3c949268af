"""`tokenkeep restored`: what has to be done between a restore and the first refresh."""

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from tokenkeep.domain.errors import InvalidInput, SettingsError

if TYPE_CHECKING:
    from tokenkeep.application.set_apart_spent import SetApart
    from tokenkeep.settings import Settings


def restored(
    *,
    owed_before: Annotated[
        str | None,
        typer.Option(
            "--owed-before",
            metavar="TIME",
            help="When the former database was lost (RFC 3339, such as 2030-01-31T12:00:00Z): accounts that Redis remembers nothing of and whose refresh was owed by then are put in doubt.",
        ),
    ] = None,
    without_redis: Annotated[
        bool, typer.Option("--without-redis", help="Redis was lost too: go by --owed-before alone.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """After a restore, while workers are held (TOKENKEEP_CUSTODY_HOLD=1): set apart the accounts whose grants have moved on since.

    Those whose refresh token was surely spent after the backup are disabled as in_doubt, and their users are asked to connect again;
    nothing is presented for them. Those where only the provider can tell are put in doubt: they are tried, and a refusal is no
    revocation. Run it before the hold is lifted; again, if you like.
    """
    from tokenkeep.cli.installation import installation_of  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.settings import load_settings  # noqa: PLC0415  # as above

    until = None if owed_before is None else _moment(owed_before)
    if without_redis and until is None:
        raise InvalidInput("--without-redis", "wants --owed-before: there is nothing else to tell by")
    settings = installation_of(load_settings())
    found = asyncio.run(_set_apart(settings, until, without_redis=without_redis, dry_run=dry_run))
    if as_json:
        document = {"looked_at": found.looked_at, "spent": found.spent, "doubtful": found.doubtful, "dry_run": dry_run}
        typer.echo(json.dumps(document))
        return
    would = "would be " if dry_run else ""
    typer.echo(f"{found.looked_at} accounts looked at")
    typer.echo(f"{found.spent} {would}disabled as in_doubt: their refresh tokens were spent after the backup")
    typer.echo(f"{found.doubtful} {would}put in doubt: theirs may have been")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput("--owed-before", "must be a time such as 2030-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise InvalidInput("--owed-before", "must name its time zone, such as 2030-01-31T12:00:00Z")
    return moment


async def _set_apart(settings: "Settings", until: datetime | None, *, without_redis: bool, dry_run: bool) -> "SetApart":
    from redis.exceptions import RedisError  # noqa: PLC0415  # see the package `cli`
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # as above

    from tokenkeep.adapters.postgres.outbox import PostgresOutbox  # noqa: PLC0415  # as above
    from tokenkeep.adapters.postgres.restored_accounts import PostgresRestoredAccounts  # noqa: PLC0415  # as above
    from tokenkeep.adapters.postgres.sources import PostgresSourceConfigs  # noqa: PLC0415  # as above
    from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks  # noqa: PLC0415  # as above
    from tokenkeep.adapters.redis.custody_lock import RedisCustodyLocks  # noqa: PLC0415  # as above
    from tokenkeep.adapters.redis.event_stream import RedisEventStream  # noqa: PLC0415  # as above
    from tokenkeep.application.set_apart_spent import SetApartSpent  # noqa: PLC0415  # as above
    from tokenkeep.bootstrap import lay_foundation  # noqa: PLC0415  # as above
    from tokenkeep.domain.ids import new_correlation_id  # noqa: PLC0415  # as above

    foundation = lay_foundation(settings, process="restored")
    try:
        set_apart = SetApartSpent(
            PostgresRestoredAccounts(foundation.database),
            None if without_redis else RedisCustodyLocks(foundation.redis, ttl=foundation.times.lease),
            PostgresSourceConfigs(foundation.database),
            PostgresWorks(foundation.database),
            foundation.catalogue,
            foundation.links,
        )
        if not without_redis and not dry_run:
            # Before the events that follow: Redis would refuse relays whose numbers went back in time with the database.
            known = await RedisEventStream(foundation.redis).fences()
            await PostgresOutbox(foundation.database).raise_fences(known)
        return await set_apart(owed_before=until, correlation_id=new_correlation_id(), dry_run=dry_run)
    except RedisError as error:
        raise SettingsError(
            f"TOKENKEEP_REDIS_URL: Redis can't be had: {type(error).__name__}; if it was lost too, say --without-redis"
        ) from None
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise SettingsError(f"TOKENKEEP_DATABASE_URL: the database can't be had: {type(error).__name__}") from None
    finally:
        await foundation.close()
