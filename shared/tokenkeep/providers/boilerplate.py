"""Sentences of RFC 6749, section 5.2, that servers quote whole for any cause: they are taken out before words are weighed."""

import re

_SENTENCES = re.compile(
    # invalid_grant
    r"the provided authori[sz]ation grant (?:\(?e ?\.? ?g\.?,? authori[sz]ation code,? ?(?:or )?resource owner credentials\)? )?"
    r"(?:or refresh token )?(?:is )?(?:malformed,? )?invalid,? expired,? revoked,? ?(?:or )?does not match the redirect(?:ion)? ur[il](?:"
    r" used in the authori[sz]ation request)?,? ?or was issued to another client"
    # invalid_request
    r"|the request is missing (?:a|one or more) required parameters?(?:,? includes an? (?:invalid|unsupported) parameter value"
    r"(?: \(other than grant type\))?)?(?:,? (?:repeats a parameter|includes a parameter more than once))?"
    r"(?:,? includes multiple credentials)?(?:,? utilizes more than one mechanism for authenticating the client)?"
    r",? or is otherwise malformed"
    # invalid_client
    r"|client authentication failed \(e ?\.? ?g\.?,? unknown client,? no client authentication included,? or unsupported authentication method\)"
    # fragments of the first, in other words
    r"|,? ?does not match the redirect(?:ion)? ur[il](?: used in the authori[sz]ation request)?"
    r"|,? ?\bor (?:was |is |has |has been )?(?:issued to|already been claimed by) another client"
)


def without_boilerplate(text: str) -> str:
    """The text, as `answer_body.words` makes it, without the standard's own sentences."""
    return _SENTENCES.sub("", text)
