"""Foreign text in messages and on the terminal: shortened, with control characters escaped."""

from __future__ import annotations

import re
import unicodedata

SHOWN = 80  # characters of a foreign value in a message
LONGEST_LINE = 400  # characters of a path, or of a library's message
# Characters that move the cursor, set colours or change the direction of text: control characters except line end and tab, line
# separators, direction marks, surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(value: object, length: int = SHOWN) -> str:
    """A foreign value for a message, `'abc'` or `[1, 2]`, cut to `length` characters."""
    if isinstance(value, str):
        return f"{value[:length]!r}{'...' if len(value) > length else ''}"
    try:
        return clipped(repr(value), length)
    except (ValueError, RecursionError):  # a number with thousands of digits, or a value that contains itself
        return f"a huge {type(value).__name__}"


def counted(n: int, what: str, plural: str = "") -> str:
    """`1 seed`, `3,000 seeds`; `plural` for irregular plurals."""
    return f"{n:,} {what if n == 1 else plural or what + 's'}"


def clipped(text: str, length: int = LONGEST_LINE) -> str:
    """A text, cut to `length` characters."""
    return text if len(text) <= length else f"{text[:length]}..."


def visible(text: str) -> str:
    """A text with control characters escaped as `\\x1b`, since a terminal would execute them."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def has_controls(text: str) -> bool:
    """Whether a text has a control character, a line end or a lone surrogate, which names of files must not have."""
    return any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text)
