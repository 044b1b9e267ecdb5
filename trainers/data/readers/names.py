"""The roles of columns, by their names in a header or as given."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from trainers.data.readers.layout import ROLES, Columns
from trainers.data.readers.raw import Roles, Where
from trainers.errors import InputError
from trainers.text import shown

# Names as `plain` returns them. Of two names in one table, the one in the earlier group counts; two of one group are refused.
USER = (
    ("user", "users", "userid", "uid", "userprocid", "useridx", "userindex"),
    ("reviewerid", "usermbid", "customerid", "visitorid", "accountid", "memberid", "profileid", "personid"),
)
ITEM = (
    ("item", "items", "itemid", "iid", "itemprocid", "itemidx", "itemindex"),
    ("parentasin",),  # Amazon's products with variants, each of which has its own asin
    (
        *("asin", "movieid", "productid", "businessid", "artistid", "artistmbid", "trackid", "songid", "bookid", "isbn"),
        *(
            "gameid",
            "animeid",
            "jokeid",
            "recipeid",
            "newsid",
            "articleid",
            "locationid",
            "venueid",
            "poiid",
            "placeid",
            "videoid",
        ),
    ),
)
# The first one in the table counts.
RATING = ("rating", "ratings", "stars", "overall", "score", "starrating", "reviewscore", "reviewrating", "bookrating")
TIME = ("timestamp", "unixreviewtime", "time", "datetime", "date", "reviewtime", "eventtime", "dateadded", "createdat", "ts")
COUNTS = {
    *("plays", "playcount", "playcounts", "weight", "count", "counts", "listening", "listenings", "listens", "listencount"),
    *("clicks", "frequency", "freq", "numplays", "totalplays", "quantity", "views", "watches"),
}
KNOWN_IDS = {name for groups in (USER, ITEM) for group in groups for name in group}


def plain(name: str) -> str:
    """A column's name without case, `_`, `-`, `.`, blanks and RecBole's `:token`."""
    return re.sub(r"[\s_.-]", "", name.split(":")[0]).lower()


def remedy(user: object, item: object) -> str:
    """The remedy for unknown columns."""
    return f"name the columns, with rating and time if there are any: data: {{columns: {{user: {user}, item: {item}}}}}"


def roles_by_name(names: tuple[str, ...], columns: Columns | None, path: Where) -> Roles:
    """The given roles; unless both user and item are given, the others by the names of the columns.

    Raises:
        InputError: a given column does not exist, or user or item is not found or ambiguous; the message lists the columns.
    """
    given = given_roles(names, columns, path)
    if "user" in given and "item" in given:
        return Roles(given["user"], given["item"], given.get("rating"), given.get("time"))
    taken = set(given.values())
    plain_names = [plain(name) if index not in taken else "" for index, name in enumerate(names)]
    user = given["user"] if "user" in given else _one("user", USER, plain_names, names, path)
    item = given["item"] if "item" in given else _one("item", ITEM, plain_names, names, path)
    rating = given.get("rating", first_known(RATING, plain_names))
    time = given.get("time", first_known(TIME, plain_names))
    return Roles(user, item, rating, time)


def given_roles(names: tuple[str, ...], columns: Columns | None, path: Where) -> dict[str, int]:
    """The index of each given column by role.

    Raises:
        InputError: a column does not exist, or is given twice.
    """
    given = columns.given() if columns else {}
    indices = {role: _index_of(role, key, names, path) for role, key in given.items()}
    for index in indices.values():
        roles = [role for role in ROLES if indices.get(role) == index]
        if len(roles) > 1:
            raise InputError(f"{path}: {' and '.join(roles)} must be different columns, got {shown(names[index])} for each")
    return indices


def _index_of(role: str, key: str | int, names: tuple[str, ...], path: Where) -> int:
    if isinstance(key, int):
        if key < len(names):
            return key
        raise InputError(
            f"{path}: data.columns.{role} must be a number from 0 to {len(names) - 1}, got {shown(key)}; "
            f"columns: {listed(names)}"
        )
    if key in names:
        return names.index(key)
    same = [index for index, name in enumerate(names) if plain(name) == plain(key)]
    if len(same) == 1:
        return same[0]
    found = "which matches two columns" if same else "no such column"
    raise InputError(
        f"{path}: data.columns.{role} must be a column of the file, got {shown(key)}, {found}; columns: {listed(names)}"
    )


def _one(role: str, groups: tuple[tuple[str, ...], ...], plain_names: list[str], names: tuple[str, ...], path: Where) -> int:
    found = candidates(groups, plain_names)
    if len(found) == 1:
        return found[0]
    if found:
        several = listed(tuple(names[index] for index in found))
        key = names[found[0]] if names.count(names[found[0]]) == 1 else found[0]
        raise InputError(
            f"{path}: needs one column named {role}, got several that could be it, {several}, of columns {listed(names)}; "
            f"name one, such as data: {{columns: {{{role}: {key}}}}}"
        )
    raise InputError(
        f"{path}: needs one column named {role} or {role}_id, or another known name, got columns {listed(names)}; "
        + remedy("NAME", "NAME")
    )


def candidates(groups: Iterable[Collection[str]], plain_names: Sequence[str]) -> list[int]:
    """The indices of the columns that have a name of the first group that any column has; empty if no column has one."""
    found = ([index for index, name in enumerate(plain_names) if name in group] for group in groups)
    return next((indices for indices in found if indices), [])


def first_known(known: Iterable[str], plain_names: Sequence[str]) -> int | None:
    """The index of the column with the first of the known names that a column has; None if no column has one."""
    return next((plain_names.index(name) for name in known if name in plain_names), None)


def listed(names: tuple[str, ...]) -> str:
    """The first twenty names, for a message."""
    return ", ".join(name if len(name) <= 60 else f"{name[:60]}..." for name in names[:20]) + (
        ", ..." if len(names) > 20 else ""
    )


def unused(names: tuple[str, ...], roles: Roles) -> str:
    """A remark on unused columns; may be empty."""
    others = [name for index, name in enumerate(names) if index not in roles.used().values()]
    counts = [name for name in others if plain(name) in COUNTS] if roles.rating is None else []
    rest = tuple(name for name in others if name not in counts)
    said = f"; {', '.join(counts)} not used: every line counts as one interaction" if counts else ""
    return said + (f"; not used: {listed(rest)}" if rest else "")
