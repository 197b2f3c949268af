"""What has to be asked of a provider before credentials can be stored."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tokenkeep.application.create_account import AuthorizationCode, GivenCredentials
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.ids import SourceId
from tokenkeep.providers.machine_credentials import MachineCredentials
from tokenkeep_api.wired import Wired


def preparation(
    wired: Wired,
    caller: Caller,
    source_id: SourceId,
    credentials: GivenCredentials | None,
    properties: Mapping[str, Any],
) -> Callable[[], Awaitable[TokenSet]] | None:
    """How the token set is had that these credentials stand for; None where they are stored as they are."""
    match credentials:
        case AuthorizationCode():
            return lambda: wired.exchange_code(source_id, caller.environment, credentials, properties)
        case MachineCredentials():
            return lambda: wired.obtain_token(source_id, caller.environment, credentials, properties)
        case _:
            return None
