"""The beginning of an endpoint's answer, fit to be kept and shown."""

from typing import Final

from tokenkeep.adapters.telemetry.redaction import redact_text

LONGEST: Final = 1024
"""Characters."""

_READ_BYTES: Final = 8 * LONGEST


def excerpt_of(body: bytes) -> str | None:
    """The first characters of a body as one printable line, whatever looks like a secret masked; None of an empty one.

    Nothing secret of ours is sent to an endpoint, so none can come back but by a mistake of its own.
    """
    text = body[:_READ_BYTES].decode("utf-8", errors="replace")
    # Masked before it is shortened: a secret that is cut in two might look like none.
    line = " ".join("".join(one if one.isprintable() else " " for one in redact_text(text)).split())
    return line[:LONGEST] or None
