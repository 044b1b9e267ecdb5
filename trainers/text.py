"""Foreign text in messages and on the terminal: shortened, and with its control characters made visible."""

from __future__ import annotations

import re
import unicodedata

SHOWN = 80  # characters of a foreign value in a message
LONGEST_LINE = 400  # characters of a path, or of what a library says
# What moves the cursor, colours, or turns the direction of text: controls but for the line end and the tab, line separators,
# signs of direction, halves of signs.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(value: object, length: int = SHOWN) -> str:
    """A foreign value as a message repeats it, `'abc'` or `[1, 2]`, and no more than so many characters of it."""
    if isinstance(value, str):
        return f"{value[:length]!r}{'...' if len(value) > length else ''}"
    try:
        return clipped(repr(value), length)
    except (ValueError, RecursionError):  # a number of thousands of digits, or a value that holds itself
        return f"a huge {type(value).__name__}"


def clipped(text: str, length: int = LONGEST_LINE) -> str:
    """A text, and no more than so many characters of it."""
    return text if len(text) <= length else f"{text[:length]}..."


def visible(text: str) -> str:
    """A text whose control characters are written out, `\\x1b`: a terminal would obey them."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def has_controls(text: str) -> bool:
    """Whether a text holds a control character, a line end or half a sign, as no name of a file should."""
    return any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text)
