"""Notices of providers: whom they mean, and which were taken before."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.sources import PostgresSources
from tokenkeep.application.provider_notices import HookedSource, MeantAccount
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.providers.hook_notices import NamedAccount, NamedProperty, TokenMark

_PAGE = 10_000
_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_SECRETS = text("""
SELECT hook_secret_ciphertext,
       CASE WHEN former_hook_secret_until > clock_timestamp() THEN former_hook_secret_ciphertext END AS former
  FROM sources WHERE id = :id
""")
# `~>=~` and `~<~` compare byte by byte, which the index of prefixes is in the order of. The colon that joins ids' parts is
# followed by the semicolon. Whoever has an id of another kind, or one that nobody verified, may be meant. An id whose kind
# nobody kept is compared as it is (ADR 0026).
# The ids go over in an array: joined, they are taken for so many that all accounts are read.
_NAMED = text(f"""
SELECT id, external_id_verified AND (external_id_kind IS NULL OR external_id_kind = ANY(CAST(:kinds AS text[]))) AS surely
  FROM accounts
 WHERE id = ANY(ARRAY(
        SELECT account_id FROM account_identities
         WHERE source_id = :source_id AND external_id = ANY(CAST(:whole AS text[]))
        UNION
        SELECT i.account_id
          FROM unnest(CAST(:parts AS text[])) AS p(part)
          JOIN account_identities AS i ON i.source_id = :source_id
           AND i.external_id ~>=~ (p.part || ':') AND i.external_id ~<~ (p.part || ';')
        UNION
        SELECT id FROM accounts
         WHERE environment = :environment AND external_id = ANY(CAST(:whole AS text[])) AND source_id = :source_id))
   AND (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid))
 ORDER BY id LIMIT {_PAGE}
""")  # noqa: S608 - only our own number is put in
# Hosts know no case. It reads all accounts of the source: a way for those that have no verified id.
_AT = text(f"""
SELECT id FROM accounts
 WHERE source_id = :source_id AND NOT external_id_verified
   AND lower(properties ->> CAST(:name AS text)) = lower(CAST(:value AS text))
   AND (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid))
 ORDER BY id LIMIT {_PAGE}
""")  # noqa: S608 - as above
_WITH_TOKENS = text("""
SELECT account_id FROM imported_grants
 WHERE source_id = :source_id AND token_mark IS NOT NULL AND token_mark = ANY(CAST(:marks AS bytea[]))
UNION
SELECT account_id FROM imported_grants
 WHERE source_id = :source_id AND prefix_mark IS NOT NULL AND prefix_mark = ANY(CAST(:marks AS bytea[]))
 ORDER BY account_id
""")
_WAS_TAKEN = text("SELECT EXISTS (SELECT FROM provider_notices WHERE source_id = :source_id AND digest = :digest)")
_COUNT = text("""
SELECT count(*) FROM (SELECT FROM provider_notices
                       WHERE source_id = :source_id AND believed AND received_at > clock_timestamp() - CAST(:within AS interval)
                       LIMIT :most) AS lately
""")
# Of a source that is deleted meanwhile there is nothing left to be noted.
_NOTE = text("""
INSERT INTO provider_notices (source_id, digest, believed)
SELECT id, CAST(:digest AS bytea), CAST(:believed AS boolean) FROM sources WHERE id = :source_id FOR KEY SHARE
ON CONFLICT DO NOTHING
""")


class PostgresProviderNotices:
    """Notices over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def hold(self, source_id: SourceId) -> None:
        """Wait until no other notice of the source is being judged: each counts those that were believed before it."""
        await self._connection.execute(_HOLD, {"name": f"provider notices of {source_id}"})

    async def source(self, source_id: SourceId) -> HookedSource | None:
        """The source that the provider was told to send notices for, whatever its environment."""
        row = (await self._connection.execute(_SECRETS, {"id": source_id})).first()
        if row is None:
            return None
        config = await PostgresSources(self._connection).config(source_id)
        return HookedSource(config, row.hook_secret_ciphertext, row.former)

    async def accounts(
        self, source: SourceConfig, named: Sequence[NamedAccount], kinds: Collection[str]
    ) -> list[MeantAccount]:
        """The source's accounts of these ids, in the order of their own; surely those whose ids are verified, of these kinds."""
        parameters = {
            "source_id": source.id,
            "environment": source.environment,
            "whole": [one.value for one in named if not one.and_below],
            "parts": [one.value for one in named if one.and_below],
            "kinds": list(kinds),
        }
        return [MeantAccount(AccountId(row.id), row.surely) for row in await self._all(_NAMED, parameters)]

    async def accounts_at(self, source_id: SourceId, held: NamedProperty) -> list[MeantAccount]:
        """The source's accounts with this property, and without a verified id: their tokens are good there and nowhere else."""
        parameters = {"source_id": source_id, "name": held.name, "value": held.value}
        return [MeantAccount(AccountId(row.id), surely=True) for row in await self._all(_AT, parameters)]

    async def accounts_with(self, source_id: SourceId, marks: Sequence[TokenMark]) -> list[MeantAccount]:
        """The source's accounts that came with one of these refresh tokens."""
        parameters = {"source_id": source_id, "marks": [mark.digest for mark in marks]}
        found = await self._connection.execute(_WITH_TOKENS, parameters)
        return [MeantAccount(AccountId(row.account_id), surely=True) for row in found]

    async def _all(self, statement: TextClause, parameters: Mapping[str, Any]) -> list[Row[Any]]:
        """Page by page, so that no statement takes long, however many one workspace has."""
        found: list[Row[Any]] = []
        while True:
            after = found[-1].id if found else None
            page = (await self._connection.execute(statement, {**parameters, "after": after})).all()
            found += page
            if len(page) < _PAGE:
                return found

    async def was_taken(self, source_id: SourceId, digest: bytes) -> bool:
        """Whether this notice has been worked off before."""
        parameters = {"source_id": source_id, "digest": digest}
        return bool((await self._connection.execute(_WAS_TAKEN, parameters)).scalar_one())

    async def count_believed(self, source_id: SourceId, *, within: timedelta, most: int) -> int:
        """How many notices of the source were believed lately, counted up to `most`."""
        parameters = {"source_id": source_id, "within": within, "most": most}
        return int((await self._connection.execute(_COUNT, parameters)).scalar_one())

    async def note(self, source_id: SourceId, digest: bytes, *, believed: bool) -> None:
        """This notice has been worked off."""
        await self._connection.execute(_NOTE, {"source_id": source_id, "digest": digest, "believed": believed})
