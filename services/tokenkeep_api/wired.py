"""What the routes are given."""

from dataclasses import dataclass

from tokenkeep.adapters.postgres.event_tail import EventTail
from tokenkeep.adapters.postgres.token_reads import PostgresTokenReads
from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.adapters.redis.wakeups import RedisWaiters
from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.adapters.vault.keyring_reports import KeyringReports
from tokenkeep.application.accept_events import AcceptEvents
from tokenkeep.application.console_sessions import SignIn
from tokenkeep.application.create_account import CreateAccount
from tokenkeep.application.credential_stores import CredentialStores
from tokenkeep.application.delete_account import DeleteAccount
from tokenkeep.application.delete_source import DeleteSource
from tokenkeep.application.discover_metadata import DiscoverMetadata
from tokenkeep.application.issue_api_key import Authenticate, IssueApiKey, WithdrawApiKey
from tokenkeep.application.manage_sources import CreateSource, PauseSource, UpdateSource
from tokenkeep.application.obtain_credentials import ObtainCredentials
from tokenkeep.application.release_custody import ConfirmRelease, ReleaseCustody
from tokenkeep.application.replace_credentials import ReplaceCredentials
from tokenkeep.application.request_refresh import RequestRefresh
from tokenkeep.application.resume_source import ResumeSource
from tokenkeep.application.sign_request import SignRequest
from tokenkeep.application.start_authorization import StartAuthorization
from tokenkeep.application.take_provider_hook import TakeProviderHook
from tokenkeep.application.toggle_account import ToggleAccount
from tokenkeep.application.update_account import UpdateAccount
from tokenkeep.application.vend_token import VendToken
from tokenkeep.application.verify_account import VerifyAccount
from tokenkeep.application.withdraw_account import WithdrawAccount
from tokenkeep.bootstrap import Foundation
from tokenkeep_api.buffers import CredentialReads, KeyUses
from tokenkeep_api.connecting import Connecting
from tokenkeep_api.creations import Creations
from tokenkeep_api.feed_readers import FeedReaders
from tokenkeep_api.importing import Importing
from tokenkeep_api.persistence import Persistence
from tokenkeep_api.rate_limits import RateLimits
from tokenkeep_api.webhooks import Webhooks


@dataclass(frozen=True, slots=True, repr=False)
class Wired:
    """The use-cases over their adapters. Nothing is connected before its first use."""

    foundation: Foundation
    works: PostgresWorks
    authenticate: Authenticate
    vend: VendToken
    tokens: PostgresTokenReads
    discover_metadata: DiscoverMetadata
    create_source: CreateSource
    update_source: UpdateSource
    pause_source: PauseSource
    delete_source: DeleteSource
    resume_source: ResumeSource
    create_account: CreateAccount
    obtain_credentials: ObtainCredentials
    update_account: UpdateAccount
    start_authorization: StartAuthorization
    sign_request: SignRequest
    replace_credentials: ReplaceCredentials
    release_custody: ReleaseCustody
    confirm_release: ConfirmRelease
    delete_account: DeleteAccount
    toggle_account: ToggleAccount
    withdraw_account: WithdrawAccount
    request_refresh: RequestRefresh
    verify_account: VerifyAccount
    accept_events: AcceptEvents
    take_provider_hook: TakeProviderHook
    connecting: Connecting
    sign_in: SignIn
    issue_api_key: IssueApiKey
    withdraw_api_key: WithdrawApiKey
    webhooks: Webhooks
    creations: Creations
    persist: Persistence
    importing: Importing
    event_tail: EventTail
    feed_readers: FeedReaders
    addresses: AddressPolicy
    reads: CredentialReads
    uses: KeyUses
    limits: RateLimits
    waiters: RedisWaiters
    endpoints: ConnectionPool
    stores: CredentialStores
    keyring_reports: KeyringReports
