"""The connect flow's use-cases, wired."""

from dataclasses import dataclass
from typing import Self, TypeVar

from tokenkeep.adapters.postgres.connect_sessions import PostgresGrants
from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.application.ask_credentials import AskCredentials
from tokenkeep.application.begin_connect import BeginConnect
from tokenkeep.application.begin_legs import BeginLegs
from tokenkeep.application.check_credentials import CheckCredentials
from tokenkeep.application.create_account import CodeExchange, CreateAccount
from tokenkeep.application.discard_grant import DiscardGrant
from tokenkeep.application.finish_connect import FinishConnect
from tokenkeep.application.finish_legs import FinishLegs
from tokenkeep.application.follow_connect_link import FollowConnectLink, LinkAccount
from tokenkeep.application.invite_user import InviteUser
from tokenkeep.application.keep_connected import KeepConnected
from tokenkeep.application.make_connect_session import MakeConnectSession
from tokenkeep.application.oauth1_legs import OAuth1Legs
from tokenkeep.application.obtain_credentials import ObtainCredentials
from tokenkeep.application.ports import Vault
from tokenkeep.application.redeem_result import RedeemResult
from tokenkeep.application.replace_credentials import ReplaceCredentials
from tokenkeep.application.submit_credentials import SubmitCredentials
from tokenkeep.bootstrap import Foundation
from tokenkeep_api.persistence import Persistence

Stored = TypeVar("Stored")


@dataclass(frozen=True, slots=True)
class Connecting:
    """What the connect routes and pages are given."""

    make_session: MakeConnectSession
    redeem_result: RedeemResult
    invite: InviteUser
    begin: BeginConnect
    begin_legs: BeginLegs
    finish: FinishConnect
    ask: AskCredentials
    submit: SubmitCredentials
    follow_link: FollowConnectLink
    link_account: LinkAccount

    @classmethod
    def wire(
        cls,
        foundation: Foundation,
        works: PostgresWorks,
        persist: Persistence,
        vault: Vault,
        *,
        exchange: CodeExchange,
        legs: OAuth1Legs,
        check: CheckCredentials,
        discard: DiscardGrant,
        obtain: ObtainCredentials,
        create: CreateAccount,
        replace: ReplaceCredentials,
    ) -> Self:
        """Over real adapters, and over what the API has besides."""
        redirect_uri = f"{foundation.settings.external_url}/connect/callback"
        make, invite = MakeConnectSession(foundation.catalogue), InviteUser(foundation.catalogue)
        ask, keep = AskCredentials(foundation.catalogue), KeepConnected(create, replace)
        grants = PostgresGrants(foundation.database)

        return cls(
            make_session=make,
            redeem_result=RedeemResult(),
            invite=invite,
            begin=BeginConnect(invite, vault, redirect_uri),
            begin_legs=BeginLegs(works, invite, legs, vault, redirect_uri),
            finish=FinishConnect(
                works=works,
                persist=persist,
                invite=invite,
                exchange=exchange,
                finish_legs=FinishLegs(legs, vault),
                check=check,
                discard=discard,
                keep=keep,
                vault=vault,
                redirect_uri=redirect_uri,
            ),
            ask=ask,
            submit=SubmitCredentials(works, persist, ask, obtain, keep),
            follow_link=FollowConnectLink(works, foundation.links, grants, make),
            link_account=LinkAccount(foundation.links, grants),
        )
