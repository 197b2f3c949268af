"""Grants that accounts live by, as a provider sees them: of one client, whatever environments and sources there are of it."""

from tokenkeep.domain.account import Custody, DisabledReason

# Accounts to whose grants nothing can be done any more: only their end users make them work again, and no late answer does.
_OVER = ", ".join(
    f"'{reason.value}'"
    for reason in DisabledReason
    if reason.needs_reauthorization and reason is not DisabledReason.IN_DOUBT
)


def is_same_client(one: str, other: str) -> str:
    """Whether two sources, by their names in a statement, are one client to the provider."""
    return f"""{other}.provider = {one}.provider
     AND ({other}.client_id = {one}.client_id OR {other}.client_id IS NULL AND {one}.client_id IS NULL)
     AND {other}.options ->> 'token_url' IS NOT DISTINCT FROM {one}.options ->> 'token_url'"""


def is_lived_by(wanted: str, external_id: str) -> str:
    """Whether another account lives by this grant, or by one of the same user's.

    Many providers know one grant for a user and a client, and end all of it. A user is known by an id that the provider has told.

    Args:
        wanted: The name of a relation with `account_id`, `source_id` and `fingerprint`.
        external_id: What stands for the user's id.
    """
    clients = f"""SELECT other.id FROM sources AS one JOIN sources AS other ON {is_same_client("one", "other")}
                    WHERE one.id = {wanted}.source_id"""  # noqa: S608 - only our own names are put in
    return f"""(
       EXISTS (SELECT FROM imported_grants AS g
                WHERE g.source_id IN ({clients})
                  AND g.fingerprint = {wanted}.fingerprint AND g.account_id <> {wanted}.account_id)
    OR EXISTS (SELECT FROM account_identities AS i JOIN accounts AS a ON a.id = i.account_id
                WHERE i.source_id IN ({clients})
                  AND i.external_id = {external_id} AND i.account_id <> {wanted}.account_id
                  AND (a.disabled_reason IS NULL OR a.disabled_reason NOT IN ({_OVER}))
                  AND (a.custody = '{Custody.RELEASED.value}'
                       OR EXISTS (SELECT FROM credentials AS c WHERE c.account_id = a.id))))"""  # noqa: S608 - as above
