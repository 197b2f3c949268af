"""What the routes are given."""

from dataclasses import dataclass

from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.adapters.redis.wakeups import RedisWaiters
from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.application.create_account import CodeExchange, CreateAccount
from tokenkeep.application.issue_api_key import Authenticate, IssueApiKey, WithdrawApiKey
from tokenkeep.application.manage_sources import CreateSource, PauseSource
from tokenkeep.application.request_refresh import RequestRefresh
from tokenkeep.application.toggle_account import ToggleAccount
from tokenkeep.application.vend_token import VendToken
from tokenkeep.bootstrap import Foundation
from tokenkeep_api.buffers import CredentialReads, KeyUses
from tokenkeep_api.creations import Creations


@dataclass(frozen=True, slots=True)
class Wired:
    """The use-cases over their adapters. Nothing is connected before its first use."""

    foundation: Foundation
    works: PostgresWorks
    authenticate: Authenticate
    vend: VendToken
    create_source: CreateSource
    pause_source: PauseSource
    create_account: CreateAccount
    exchange_code: CodeExchange
    toggle_account: ToggleAccount
    request_refresh: RequestRefresh
    issue_api_key: IssueApiKey
    withdraw_api_key: WithdrawApiKey
    creations: Creations
    addresses: AddressPolicy
    reads: CredentialReads
    uses: KeyUses
    waiters: RedisWaiters
    endpoints: ConnectionPool
