"""Sentences: what the words beside a code, or in place of one, say.

Every function takes text as `answer_body.words` makes it: lower case, single spaces, no quotation marks.
"""

import re

from tokenkeep.providers.boilerplate import without_boilerplate
from tokenkeep.providers.grant_words import names_a_dead_grant, names_an_unusable_grant
from tokenkeep.providers.meaning import Meaning

_THROTTLE = re.compile(
    r"rate ?limit|rate (?:is |was )?exceeded|too many(?! times)|throttl|slow down|automated queries|spike ?arrest|quota"
    r"|(?:request|call|api|usage)s? (?:rate|limit)|over limit|too frequent|频繁|頻繁"
    r"|(?<!licence )(?<!license )(?<!seat )(?<!user )(?<!plan )limit (?:is |was |has been )?(?:reached|exceeded)|exceed\w* (?:the )?(?:\w+ )?limit"
    r"|local rate|requests? per (?:second|minute|hour|day)|error code: 1015|retry later\Z|sending requests too"
)
_ENDS_BY_ITS_LIMIT = re.compile(
    r"\b(?:sessions?|devices?|tokens?|log ?ins?|sign ?ins?|users?|grants?|consents?|(?:re ?)?us(?:age|es?)) (?:limit|count|(?:is |are |was |has been )?exceeded)"
    r"|too many (?:\w+ )?(?:sessions|devices|tokens|log ?ins|users|grants)\b"
)
_OF_REQUESTS = re.compile(
    r"\brate|requests?\b|\bcalls?\b|\bapi\b|\battempts\b|throttl|slow down|quota|frequen|频繁|頻繁|\blater\b|\bwait\b|\b(?:second|minute|hour|day)s?\b"
)
_CONCURRENT = re.compile(
    r"concurren|being processed|in progress|another (?:request|refresh|process)|parallel|race condition|\bconflict\b|optimistic"
    r"|(?:fail\w* to|could not|can ?not|unable to) (?:acquire|obtain|get)(?: \w+){0,2} lock|deadlock|serializ"
)
_OUTAGE = re.compile(
    r"temporar|unavailable(?! for legal)|maintenance|time ?d? ?out|internal (?:server )?error|internal failure|server error"
    r"|unexpected (?:server )?(?:error|failure|exception)|unknown error|overload|not (?:currently )?respond|system error|\bbusy\b"
    r"|upstream|please (?:retry|try)|try (?:again|later)|transient|error code: 1\d\d\d|something went wrong|bad gateway"
    r"|connection (?:refused|reset|failure|error)|an error (?:has )?occur+ed|service (?:is )?(?:down|offline)|failed to connect"
    r"|ring balancer|either erred|read timed|socket|unhandled exception|request (?:was |has been |is )?blocked|not available\b(?! for)|blocked by (?:\w+ ){0,2}(?:security|firewall|waf)\b"
)
_MISSING = re.compile(
    r"(?:missing|required|empty|no|mandatory) (?:\w+ ){0,2}(?:param|field|argument)"
    r"|(?:param\w*|field|argument)[^.;]{0,40} (?:missing|required|empty|not (?:given|provided|specified|supplied))"
    r"|missing (?:the )?(?:refresh ?token|grant type)|\bno grant type|grant type should be|not a refresh token"
    r"|(?:can ?not|can ?t|must not|may not) be (?:empty|null|blank)|\Ano refresh ?token\b|(?:\. |: )no refresh ?token\b|contain the following parameter"
    r"|refresh ?token (?:(?:is|was|field|parameter|param|cannot be|can not be|must not be|may not be|can t be|should not be) ){0,2}"
    r"(?:null|missing|required|empty|blank|not (?:given|provided|specified|supplied|sent|present))"
    r"|must be (?:supplied|provided|present|specified|given|sent)"
    r"|header or cookie too large|(?:not|isn ?t|invalid) (?:a )?(?:valid |well formed )?json|json (?:parse|syntax|decod)"
    r"|malformed (?:request|json|body)|(?:unable|failed) to parse (?:the )?(?:request|body|json)"
    r"|(?:request )?body (?:can ?not|must not|may not) be empty|content[ -]?type|form urlencoded|media type"
    r"|more than one (?:mechanism|client)|multiple (?:client )?credentials|parameter: (?:refresh ?token|grant type|client id)\b"
    r"|repeat(?:s|ed) a? ?parameter|duplicate param|check the (?:\S+ ){1,3}parameter|parameter is (?:invalid|malformed)"
)
_MISSING_OR_INVALID = re.compile(r"missing or invalid refresh ?token")
"""Which of the two it was, only a code beside it tells: `invalid_grant` is said of a token that was there."""

_OUR_ADDRESS = re.compile(
    r"https (?:is )?required|requires? https|(?:must|only) (?:use|utilize|accepts?|be) https|use https|insecure transport"
    r"|plain http request|ssl (?:is )?required|invalid hostname|realm (?:does not exist|not found|not enabled)"
    r"|no route matched|(?:ssl|client) certificate was sent|request method (?:must|get|put)|method (?:is )?not (?:allowed|supported)|unsupported method|must be (?:a )?post\b"
    r"|tenant (?:\S+ )?(?:not found|does not exist)|not been issued for this endpoint|cross origin token redemption"
)
_CLIENT = re.compile(
    r"client (?:id|secret|key|credential|authentication|assertion|certificate|not found|is invalid|is disabled|mismatch|does not exist"
    r"|is not (?:allowed|authori[sz]ed|permitted|active|enabled|registered|known)|is unknown|unknown|inactive|disabled|suspended)"
    r"|(?:invalid|unknown|bad|wrong|incorrect|unauthori[sz]ed|inactive|disabled|unregistered|suspended) (?:o ?auth ?2? )?client"
    r"|no client (?:with|was|found|credential)|(?:find|found|recogni[sz]e|identify) (?:the |a )?client\b|client \S+ (?:not found|does not exist)"
    r"|app(?:lication)? ?(?:id|key|secret)\b|app(?:lication)? (?:client id )?(?:not found|invalid|(?:is|was|has been) (?:disabled|suspended|deleted|invalid|blocked))"
    r"|(?:invalid|unknown|unregistered|suspended) app(?:lication)?\b|validating (?:application|client)|(?:api|consumer|subscription) key|consumer token|grant type|redirect ur[il]"
    r"|wrong sign|\bsign invalid|(?:invalid|bad|incorrect|wrong) signature|signature (?:is |was |does |did )?(?:invalid|mismatch|not match|verification|incorrect)"
    r"|timestamp (?:out|refused)|authentication token|authori[sz]ation header|basic auth|without client authentication"
    r"|full authentication is required|developer (?:account|key|token)|scopes? (?:is|are|was|were) (?:invalid|not (?:valid|allowed|supported))|invalid scope"
    r"|(?:bad|wrong|invalid|incorrect) (?:credentials|secret)|ip (?:is )?not (?:whitelisted|allowed)|code verifier|\bcertificate\b|\btpp\b|\bdpop\b|ip (?:address )?(?:\S+ )?(?:is )?not (?:in the )?(?:whitelist|allow ?list|allowed)"
)
_GRANT_BLAMES_CLIENT = re.compile(
    r"client (?:id|secret|credential|authentication|token|assertion|certificate|mismatch|does not|did not|is not|and authori[sz]ed client)|invalid client"
    r"|(?:linked|bound|belongs?|belonging|issued|assigned|given|granted|associated) (?:to|with|for) (?:(?:this|that|the|a|an|your) )?(?:\w+ )?(?:client|app(?:lication)?)\b"
    r"|(?:different|another|other|wrong|mismatch\w*|this) client|clients? (?:don ?t|do not|does not|mismatch)|app(?:lication)? (?:id|key|secret)\b"
    r"|(?:api|consumer) key|\bjwt\b|assertion|\bclock\b|\biat\b|\bexp\b claim|signature|certificate|thumbprint|\btpp\b|\bdpop\b|issuer"
    r"|not been issued for this endpoint|grant type|audience|\bscopes?\b|tenant (?:\S+ )?not found|data cent(?:er|re)|\bsandbox\b|\bpartner\b|\bconsumer\b"
    r"|app(?:lication)? (?:is )?not (?:authori[sz]ed|allowed|permitted)|grant is (?:not )?enabled|not (?:allowed|permitted|enabled) for (?:this |the )?(?:client|app)"
)
_ANOTHER_CLIENTS = re.compile(
    r"(?:linked|bound|belongs?|belonging|issued|assigned|given|granted|associated) (?:to|with|for) (?:(?:this|that|the|a|an|your) )?(?:\w+ )?(?:client|app(?:lication)?)\b"
    r"|(?:different|another|other|wrong|mismatch\w*) client|clients? (?:don ?t|do not|does not|mismatch)|(?:invalid|unknown|wrong) app(?:lication)? id|client (?:id )?mismatch"
)
_APP_STOPPED = re.compile(
    r"\b(?:app(?:lication)?|client|developer account) (?:\S+ )?(?:has been|is|was) (?:suspended|disabled|blocked|banned|deactivated)"
)
_CLIENT_AS_WELL = re.compile(r"(?:invalid|valid) for (?:the|this|that) client|client or (?:the )?(?:refresh )?token")
_IN_TROUBLE = re.compile(
    r"temporar|unavailable|maintenance|internal (?:server )?error|internal failure|server error|unexpected|unknown error|overload"
    r"|system error|\bbusy\b|upstream|backend|database|\bredis\b|\bcache\b|cluster|at this time|\btime ?d? ?out\b|exception|bad gateway"
    r"|connection (?:refused|reset|failure|error|terminated|timeout)|within the last \d|too early|not (?:yet )?due|not expired"
)
"""Trouble that puts in doubt whatever else is said. Asking to try again is not among it: that is said of consent, too."""

_GRANT_UNCLEAR = re.compile(
    r"\bstale token|decrypt|malformed(?! or not valid)|have required client|\bip (?:is |address )?(?:restricted|not allowed|blocked)"
    r"|authentication failure|\blocked\b|conditional access|could not be revoked|fail\w* to (?:lock|acquire|revoke|save|store)"
    r"|not yet (?:valid|active)|\bpolicy\b|not assigned to (?:a role|the app)"
)
_TENANT_POLICY = re.compile(r"enterprise|organi[sz]ation|\badmin|\btenant")
_BLOCK_PAGE = re.compile(
    r"request rejected|requested url was rejected|just a moment|access denied|service unavailable|incapsula|captcha|attention required"
    r"|are you (?:a )?(?:robot|human)|verify(?:ing)? (?:that )?you are (?:a )?human|enable javascript and cookies|checking your browser"
    r"|maintenance|ddos|bot (?:protection|detection|management)|perimeterx|datadome"
)


def is_throttled(text: str) -> bool:
    """Whether the words ask for fewer requests."""
    return _THROTTLE.search(text) is not None and not _CONCURRENT.search(text)


def limits_a_dead_grant(text: str) -> bool:
    """Whether the limit that the words of `invalid_grant` speak of is a session's, or a token's, that is over by it.

    One of requests ends no grant, whatever its sentence goes on to ask of the user; nor does one of connections or memory,
    for which a server does not find it.
    """
    is_of_grants = _ENDS_BY_ITS_LIMIT.search(text) is not None and not _OF_REQUESTS.search(text)
    return is_of_grants and names_a_dead_grant(without_boilerplate(text))


def is_block_page(text: str) -> bool:
    """Whether a page with status 200 comes from a firewall that stands before the provider."""
    return _BLOCK_PAGE.search(text) is not None


def names_large_headers(text: str) -> bool:
    """Whether a proxy found our headers too large."""
    return "too large" in text


def names_our_address(text: str) -> bool:
    """Whether the address was called in a way, or by a name, that it is not meant to be."""
    return _OUR_ADDRESS.search(text) is not None


def of_invalid_grant(text: str) -> Meaning:
    """What `invalid_grant` means beside these words: dead, unless they speak of something else."""
    said = without_boilerplate(text)
    if _MISSING.search(said):
        return Meaning.INVALID_REQUEST
    is_dead = names_a_dead_grant(said)
    if _CONCURRENT.search(said) or is_in_trouble(said):
        return Meaning.UNCLEAR if is_dead else Meaning.TRANSIENT
    if not is_dead and _OUTAGE.search(said) and "inactiv" not in said:
        return Meaning.TRANSIENT
    if _CLIENT_AS_WELL.search(said):
        return Meaning.UNCLEAR
    if _GRANT_BLAMES_CLIENT.search(said) or _APP_STOPPED.search(said) or (not is_dead and _CLIENT.search(said)):
        return Meaning.CLIENT_MISCONFIGURED
    if _GRANT_UNCLEAR.search(said) or names_an_unusable_grant(said):
        return Meaning.UNCLEAR
    return Meaning.REVOKED


def of_unauthorized_client(text: str) -> Meaning:
    """What `unauthorized_client` means: our client, unless the words blame the refresh token or a customer's rules."""
    if names_a_dead_grant(text):
        return Meaning.UNCLEAR if is_in_trouble(text) or names_an_unusable_grant(text) else Meaning.REVOKED
    if _TENANT_POLICY.search(text):
        return Meaning.UNCLEAR
    return Meaning.CLIENT_MISCONFIGURED


def of_words_alone(text: str) -> Meaning:
    """What an answer means that names no code, an unknown one, or `invalid_request`."""
    said = without_boilerplate(text)
    if is_throttled(said):
        return Meaning.RATE_LIMITED
    if _CONCURRENT.search(said):
        return Meaning.TRANSIENT
    if "missing authentication token" in said or _OUR_ADDRESS.search(said):
        # Amazon's gateway says the first of a path that it does not know.
        return Meaning.CLIENT_MISCONFIGURED
    if _MISSING.search(said) or _MISSING_OR_INVALID.search(said):
        return Meaning.INVALID_REQUEST
    if names_a_dead_grant(said):
        return _of_a_dead_grant(said)
    if _CLIENT.search(said):
        return Meaning.CLIENT_MISCONFIGURED
    if _OUTAGE.search(said):
        return Meaning.TRANSIENT
    return Meaning.INVALID_REQUEST if "missing a required parameter" in text else Meaning.UNCLEAR


def _of_a_dead_grant(said: str) -> Meaning:
    """A grant that is called dead, unless the words say that it is alive for another client, or speak of trouble."""
    if _APP_STOPPED.search(said):
        return Meaning.CLIENT_MISCONFIGURED
    if _CLIENT_AS_WELL.search(said) or is_in_trouble(said) or names_an_unusable_grant(said):
        return Meaning.UNCLEAR
    return Meaning.CLIENT_MISCONFIGURED if _ANOTHER_CLIENTS.search(said) else Meaning.REVOKED


def is_in_trouble(said: str) -> bool:
    """Whether the words speak of trouble at the provider's side, which puts in doubt whatever else they say."""
    return _IN_TROUBLE.search(said) is not None and "inactiv" not in said
