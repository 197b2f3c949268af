"""Sentences: what the words beside a code, or in place of one, say.

Every function takes text as `answer_body.words` makes it: lower case, single spaces, no quotation marks.
"""

import re

from tokenkeep.providers.meaning import Meaning

_THROTTLE = re.compile(
    r"rate ?limit|rate exceeded|too many|throttl|slow down|automated queries|spike ?arrest|quota"
    r"|(?:request|call|api|usage)s? (?:rate|limit)|limit (?:is |was |has been )?(?:reached|exceeded)"
    r"|local rate|requests? per (?:second|minute|hour|day)|error code: 1015"
)
_OUTAGE = re.compile(
    r"temporar|unavailable(?! for legal)|maintenance|time ?d? ?out|internal (?:server )?error|internal failure|server error"
    r"|unexpected (?:server )?error|unknown error|overload|not (?:currently )?respond|system error|\bbusy\b|upstream"
    r"|please retry|try again|transient|error code: 1\d\d\d"
)
_MISSING = re.compile(
    r"(?:missing|required|empty|no|mandatory) (?:\w+ ){0,2}(?:param|field|argument)"
    r"|param\w*[^.;]{0,40} (?:missing|required|empty|not (?:given|provided|specified|supplied))"
    r"|missing (?:the )?refresh ?token"
    r"|refresh ?token (?:(?:is|was|field|parameter|param|cannot be|must not be|can t be) ){0,2}"
    r"(?:null|missing|required|empty|blank|not (?:given|provided|specified|supplied|sent))"
    r"|must be (?:supplied|provided|present|specified|given|sent)|missing or invalid refresh ?token"
    r"|header or cookie too large|not (?:valid|well formed) json|malformed (?:request|json|body)"
)
_DEAD = r"(?:invalid|expired|revoked|reused|unknown|incorrect|inactive|deleted|blacklisted|consumed|unrecogni[sz]ed)"
_DEAD_AFTER = (
    rf"(?:{_DEAD}|(?:already|been|was|is) used|not (?:found|valid|active|recogni[sz]ed|exist)|no longer"
    r"|does ?n t exist|no match)"
)
_REFRESH = r"refresh ?tokens?\b(?! (?:grant|flow|service|endpoint|type|support))"
_DEAD_REFRESH = re.compile(
    rf"{_REFRESH}(?:(?!client|grant type|param|scope|required|missing)[^.;]){{0,60}}\b{_DEAD_AFTER}"
    rf"|\b{_DEAD} (?:(?:or|and) \w+ )?(?:(?:the|oauth|oauth2|value|for|of|provided|user) ){{0,2}}{_REFRESH}"
    rf"|no such {_REFRESH}|(?:failed|unable|can ?not|could not) (?:to )?(?:find|decode)[^.;]{{0,20}} {_REFRESH}"
    rf"|\brevoked (?:oauth )?token\b|invalid or expired token\b|\bexpired or (?:revoked|invalid) token\b"
    rf"|oauth ?token (?:is )?(?:invalid|expired|revoked)|\binvalid oauth ?token|value passed for the token was invalid"
    rf"|(?<!access )(?<!api )(?<!client )\b(?:token|grant|consent) (?:(?!client|key)[^.;]){{0,30}}\brevoked|revoked by (?:the )?(?:end )?user"
    rf"|user (?:has )?revoked"
)
_CLIENT = re.compile(
    r"client (?:id|secret|key|credential|authentication|assertion|not found|is invalid|is disabled|mismatch)"
    r"|(?:invalid|unknown|bad|wrong|unauthori[sz]ed|inactive|disabled) client"
    r"|app(?:lication)? ?(?:id|key|secret)\b|app(?:lication)? (?:client id )?(?:not found|invalid|is disabled)"
    r"|validating (?:application|client)|(?:api|consumer) key|grant type|redirect ur[il]|wrong sign|invalid signature"
    r"|timestamp (?:out|refused)|authentication token|authori[sz]ation header|plain http request"
)
_BOILERPLATE = re.compile(
    # RFC 6749 defines invalid_grant in these words, and many servers quote all of it for any cause.
    r",? ?does not match the redirect(?:ion)? ur[il](?: used in the authori[sz]ation request)?"
    r"|,? ?\bor (?:was |is |has been )?issued to another client"
)
_GRANT_BLAMES_CLIENT = re.compile(
    r"client (?:id|secret|credential|authentication|token|assertion|mismatch|does not|is not)|invalid client"
    r"|(?:linked|bound|belongs?|issued|assigned) to (?:(?:this|that|the|a|an|your) )?(?:\w+ )?client"
    r"|(?:different|another|other|wrong) client|app(?:lication)? (?:id|key|secret)\b|(?:api|consumer) key"
    r"|\bjwt\b|assertion|\bclock\b|\biat\b|signature"
)
_IN_PROGRESS = re.compile(
    r"being processed|in progress|concurrent|temporar|internal (?:server )?error|please retry|service (?:is )?unavail"
)
_GRANT_UNCLEAR = re.compile(
    r"\bstale token|decrypt|malformed|have required client|\bip (?:is )?(?:restricted|not allowed|blocked)"
    r"|authentication failure|\blocked\b|conditional access"
)
_TENANT_POLICY = re.compile(r"enterprise|organi[sz]ation|\badmin|\btenant")
_BLOCK_PAGE = re.compile(r"request rejected|requested url was rejected|just a moment|access denied|service unavailable")


def is_throttled(text: str) -> bool:
    """Whether the words ask for fewer requests."""
    return _THROTTLE.search(text) is not None


def is_block_page(text: str) -> bool:
    """Whether a page with status 200 comes from a firewall that stands before the provider."""
    return _BLOCK_PAGE.search(text) is not None


def names_large_headers(text: str) -> bool:
    """Whether a proxy found our headers too large."""
    return "too large" in text


def names_plain_http(text: str) -> bool:
    """Whether the address was called with http where https belongs."""
    return "plain http request" in text


def of_invalid_grant(text: str) -> Meaning:
    """What `invalid_grant` means beside these words: dead, unless they speak of something else."""
    said = _BOILERPLATE.sub("", text)
    if _MISSING.search(said):
        return Meaning.INVALID_REQUEST
    if _IN_PROGRESS.search(said):
        return Meaning.TRANSIENT
    if _GRANT_BLAMES_CLIENT.search(said):
        return Meaning.CLIENT_MISCONFIGURED
    if _GRANT_UNCLEAR.search(said):
        return Meaning.UNCLEAR
    return Meaning.REVOKED


def of_unauthorized_client(text: str) -> Meaning:
    """What `unauthorized_client` means: our client, unless the words blame the refresh token or a customer's rules."""
    if _DEAD_REFRESH.search(text):
        return Meaning.REVOKED
    if _TENANT_POLICY.search(text):
        return Meaning.UNCLEAR
    return Meaning.CLIENT_MISCONFIGURED


def of_words_alone(text: str) -> Meaning:
    """What an answer means that names no code, an unknown one, or `invalid_request`."""
    said = _BOILERPLATE.sub("", text)
    if is_throttled(said):
        return Meaning.RATE_LIMITED
    if "missing authentication token" in said:
        # Amazon's gateway says so of a path that it does not know.
        return Meaning.CLIENT_MISCONFIGURED
    if _MISSING.search(said):
        return Meaning.INVALID_REQUEST
    if _DEAD_REFRESH.search(said):
        return Meaning.REVOKED
    if _OUTAGE.search(said):
        return Meaning.TRANSIENT
    if _CLIENT.search(said):
        return Meaning.CLIENT_MISCONFIGURED
    return Meaning.UNCLEAR
