"""Sentences about grants: which say that one is dead, and which that it can't be used for now."""

import re

_ENDED = (
    r"(?:invalid(?:ated)?|expired|revoked|reused|unknown|incorrect|inactive|deleted|blacklisted|blocklisted|consumed|withdrawn"
    r"|terminated|unrecogni[sz]ed|bad|wrong)"
)
_ENDED_AFTER = (
    rf"(?:{_ENDED}|(?:already|been|was|is) (?:used|redeemed|exchanged|claimed|rotated)|not (?:be )?(?:found|valid|active|recogni[sz]ed|exist)"
    r"|no longer|does ?n ?t exist|no match|mismatch|must be renewed|cannot be used|has (?:ended|lapsed))"
)
_REFRESH = r"refresh ?tokens?\b(?! (?:grant|flow|service|endpoint|type|support))"
# What may stand between a refresh token and what became of it. Anything else makes another thing the subject.
_BETWEEN = (
    r"(?:\W{1,3}(?:a|already|an|and|appears?|are|as|be|been|can|could|did|do|does|either|for|from|given|had|has|have|id|in|is|it|its|itself|longer"
    r"|may|might|my|no|not|now|of|or|passed|past|presented|probably|provided|redacted|seems?|sent|since|so|specified|string|submitted|supplied|that"
    r"|the|this|to|token|user|value|was|we|were|which|with|you|your))"
)
_OF_REFRESH = re.compile(
    rf"{_REFRESH}{_BETWEEN}{{0,8}}\W{{0,3}}\b{_ENDED_AFTER}\b(?! (?:ip|certificate|device|field|format|header|host|method|content|region|api))"
    rf"|\b{_ENDED} (?:(?:or|and) \w+ )?(?:(?:the|an?|your|o ?auth|o ?auth2|value|for|of|provided|user) ){{0,2}}{_REFRESH}"
    rf"|{_REFRESH} (?:re ?)?us(?:age|e|es) (?:limit|count) (?:is |was |has been )?(?:reached|exceeded)"
    rf"|{_REFRESH} (?:has |was )?(?:reached|exceeded) (?:its|the) (?:\w+ )?(?:re ?)?us(?:age|e|es) (?:limit|count)"
    rf"|no such {_REFRESH}|no (?:\w+ )?(?:found )?(?:for|with|matching) (?:this |the |that )?(?:provided |given )?{_REFRESH}"
    rf"|(?:failed|unable|can ?not|could not) (?:to )?(?:find|decode|locate)[^.;]{{0,40}} {_REFRESH}"
)
_ABROAD = re.compile(
    r"refresh ?token[^.;]{0,30}(?:过期|失效|无效|不存在|已被|错误|過期|失效|無效|無効|期限|有効|만료|유효하지|찾을 수)"
    r"|(?:过期|失效|无效|無效|無効|만료된|유효하지)[^.;]{0,16}(?:refresh ?token|刷新|リフレッシュ|리프레시)"
    r"|刷新(?:令牌|token)[^.;]{0,12}(?:过期|失效|无效|不存在)|リフレッシュ ?トークン[^.;]{0,16}(?:無効|期限|失効|有効)|리프레시 ?토큰[^.;]{0,16}(?:만료|유효하지)"
    r"|授权(?:已)?(?:过期|失效|取消|被取消|解除)|用户(?:已)?(?:取消|解除)授权"
    r"|(?:token|jeton|zugriff|berechtigung|autorisierung|autori[sz]a[cç]\w+|autorisation|acceso|acesso|sess\w+|sesi[oó]n)[^.;]{0,40}"
    r"(?:inv[aá]lid[oae]\b|caducad[oa]|expirad[oa]|revocad[oa]|revogad[oa]|vencid[oa]|invalide\b|expir[eé]e?\b|r[eé]voqu[eé]e?|abgelaufen|ung[uü]ltig"
    r"|widerrufen|scadut[oa]|revocat[oa]|verlopen|ongeldig|ugyldig|ogiltig|недействит|истек|истёк|отозван|просроч|wygas|nieprawid|neplatn)"
)
_ANY_GRANT = r"(?<!access )(?<!api )(?<!client )(?<!csrf )(?<!id )(?<!bearer )(?<!jwt )(?<!reset )(?<!client s )\b(?:tokens?|grants?|consent|authori[sz]ation|delegation|session)"
_OF_ANY_GRANT = re.compile(
    rf"{_ANY_GRANT}{_BETWEEN}{{0,8}}\W{{1,3}}(?:revoked|withdrawn|terminated|deauthori[sz]ed|blacklisted|no longer valid|no longer exists|already (?:been )?used)"
    rf"|{_ANY_GRANT} (?:is |was |has )?(?:invalid or expired|expired or invalid)\b"
    rf"|\brevoked (?:(?:the|this|your|o ?auth) )?(?:token|grant|consent|authori[sz]ation|access)\b"
    r"|(?:access |o ?auth )?token[^.;]{0,30} (?:has been|was|is|been) (?:revoked|invalidated)"
    r"|invalid or expired (?:o ?auth )?token\b|\bexpired or (?:revoked|invalid) token\b|(?<!access )\btoken (?:was |has been |is )?(?:expired|invalid)(?:,| or) (?:was |has been )?revoked"
    r"|token expired, was revoked|o ?auth ?token (?:is |has |has been )?(?:invalid|revoked)|token theft|reuse detected|\binvalid o ?auth ?token\b(?! (?:config|format|type))"
    r"|value passed for the token was invalid|no user for this token|(?:find|found) related auth record"
    r"|grant (?:is |was |has )?(?:not found|expired|invalid|does not exist)|(?:find|locate) (?:the )?grant\b(?! (?:handler|implementation|type))"
    r"|session (?:(?:\S+ ){0,2})?(?:not found|(?:is )?invalidated|(?:is )?not active|(?:is )?no longer|(?:has )?ended|could not be found|terminated|was revoked)"
    r"|sessions? (?:is |are |was )?(?:revoked|closed)"
)
_USER = (
    r"(?:users?|members?|resource owner|account owner|account|customer|merchant|seller|shop|organi[sz]ation|workspace)"
)
_OF_USER = re.compile(
    r"revoked (?:by|from) (?:the )?(?:end ?)?(?:users?|owner|admin\w*|customer)|(?:user|owner|customer|merchant|seller|admin\w*) (?:has |have )?(?:revoked|withdrawn|removed|de ?authori[sz]ed|uninstalled|disconnected)"
    rf"|(?<!service )\b{_USER} (?:is |was |has been |has |account |is currently )?(?:deactivated|deleted|disabled|closed|inactive|uninstalled|removed)"
    r"\b(?! (?:api|access|from|events?))"
    rf"|\b{_USER} (?:account )?(?:is )?(?:not active|no longer (?:active|exists?|has access|a member|authori[sz]ed))"
    r"|\b(?:deactivated|deleted|disabled|inactive) (?:user|account)\b|\buser (?:\S+ )?no longer"
    r"|(?:has been|was|is) uninstalled|app(?:lication)? (?:is )?not installed\b(?! (?:on|in))|\buninstalled (?:the )?app|has not authori[sz]ed (?:the )?app|not authori[sz]ed (?:by|for) (?:the |this )?user"
)
_ASK_THE_USER = re.compile(
    r"\bre ?-?(?:authori[sz]e|authenticate|consent|connect|link|login)\b|(?:log|sign) ?(?:in|on) again|authori[sz]e (?:the )?(?:app\w* )?again|(?<!not )connect (?:\w+ )?again"
    r"|(?:must|needs? to|has to|should|required? to) (?:re|log|sign) ?-?(?:in|on|authenticate|authori[sz]e)|user (?:must|needs to|has to|should) (?:authenticate|authori[sz]e|consent\b(?! to new)|grant|log ?in|sign ?in)"
    r"|reauth\w* (?:is )?(?:required|needed)|(?:new|fresh|user) (?:consent|login|authori[sz]ation|sign ?in) (?:is )?(?:required|needed)|obtain a new (?:authori[sz]ation|refresh|grant)"
)
_OF_OTHER_PROOFS = re.compile(r"\b(?:d ?po ?p|nonce|jti|assertion|csrf|certificate|signature|signed|signing)\b")
_ASK_SOMEBODY_ELSE = re.compile(
    r"\b(?:developer|partner|app\w*|client|merchant center|administrator) (?:must|needs? to|has to|should)|developer portal|client credentials"
    r"|\breconnect later|connect again later"
)
_ASKS_FOR_REFRESH = re.compile(
    r"refresh (?:your|the) (?:access |o ?auth )?token|use (?:the |your |a )?refresh ?token|token (?:needs|should|must) (?:to )?be refreshed"
)
_UNUSABLE = re.compile(
    r"\b(?:user|account|member) (?:\S+ )?(?:is |was |has been )?(?:locked|suspended)|\bsuspended\b|\bpaused\b|unpaid|invoice|\bbilling\b|\bpayment|subscription|your plan\b|licen[cs]e|terms of service"
)


def names_a_dead_grant(text: str) -> bool:
    """Whether the words, in the form of `answer_body.words`, say that the grant is gone and only its owner can renew it.

    Words that send the client to its refresh token speak of an access token, whatever they call it.
    """
    if _ASKS_FOR_REFRESH.search(text) or (_OF_OTHER_PROOFS.search(text) and "refresh" not in text):
        return False
    if _ASK_THE_USER.search(text) and not _ASK_SOMEBODY_ELSE.search(text):
        return True
    return any(pattern.search(text) is not None for pattern in (_OF_REFRESH, _OF_ANY_GRANT, _OF_USER, _ABROAD))


def names_an_unusable_grant(text: str) -> bool:
    """Whether the words speak of a state that may pass without the user's doing anything at our side."""
    return _UNUSABLE.search(text) is not None
