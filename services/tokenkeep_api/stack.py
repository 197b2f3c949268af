"""Where an exception came from, fit for a log: files and functions, without its text and without local variables.

An exception's text may quote what it stumbled over, and that may be a secret.
"""

from pathlib import PurePath
from traceback import extract_tb

_DEEPEST = 12


def where(error: BaseException) -> list[str]:
    """The innermost frames, outermost first, as `directory/file.py:line function`."""
    frames = extract_tb(error.__traceback__)[-_DEEPEST:]
    return [f"{'/'.join(PurePath(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}" for frame in frames]
