"""The roles of columns, by their names in a header or as given."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from trainers.data.readers.layout import NO_COLUMN, ROLES, Columns
from trainers.data.readers.meaning import holds_times, is_time_of_day
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
# The first one in the table counts. Of times, those with the hour come before those that may be days.
RATING = (
    *("rating", "ratings", "stars", "overall", "score", "starrating", "reviewscore", "reviewrating", "bookrating"),
    *("userrating", "userscore", "reviewoverall", "reviewstars", "overallrating", "ratingscore", "ratingvalue", "myrating"),
    *("myscore", "movierating", "itemrating", "customerrating"),
)
TIME = (
    *("timestamp", "unixreviewtime", "unixtimestamp", "utctimestamp", "timestamputc", "eventtimestamp", "ratingtimestamp"),
    *("reviewtimestamp", "interactiontimestamp", "clicktimestamp", "timestampcreated", "timems", "unixtime", "epochtime"),
    *("time", "datetime", "date", "reviewtime", "eventtime", "dateadded", "createdat", "ts", "listenedat", "playedat"),
    *("watchedat", "viewedat", "visitedat", "clickedat", "ratedat", "addedat", "postedat", "submittedat", "purchasedat"),
    *("orderedat", "utctime", "localtime", "checkintime", "checkindate", "checkinat", "visittime", "visitdate"),
    *("ratingtime", "ratingdate", "reviewdate", "eventdate", "interactiontime", "interactiondate", "clicktime", "clickdate"),
    *("commenttime", "commentdate", "purchasetime", "purchasedate", "orderpurchasetimestamp", "ordertime", "orderdate"),
    *("transactiontime", "transactiondate", "invoicedate", "tdat", "createdtimestamp", "createtime", "createdtime"),
    *("creationtime", "createddate", "creationdate", "datecreated", "updatedat", "timestampupdated", "updatetime"),
    *("dateupdated", "lastupdated"),
)
COUNTS = {
    *("plays", "playcount", "playcounts", "weight", "count", "counts", "listening", "listenings", "listens", "listencount"),
    *("clicks", "frequency", "freq", "numplays", "totalplays", "quantity", "views", "watches"),
}
PLAIN = re.compile(r"[A-Za-z_][\w.-]*|\d+", re.ASCII)  # a name that needs no quotes in YAML
KNOWN_IDS = {name for groups in (USER, ITEM) for group in groups for name in group}


def plain(name: str) -> str:
    """A column's name without case, `_`, `-`, `.`, `/`, blanks and RecBole's `:token`."""
    return re.sub(r"[\s_./-]", "", name.split(":")[0]).lower()


def remedy(user: object, item: object) -> str:
    """The remedy for unknown columns."""
    return f"name the columns, with rating and time if there are any: data: {{columns: {{user: {user}, item: {item}}}}}"


def setting(role: str, column: object, where: Where) -> str:
    """How a user gives a column, or NO_COLUMN: as an option of files, or to `from_frame`."""
    if isinstance(where, str):
        return f"{role}={False if column == NO_COLUMN else column!r}"
    return f"data: {{columns: {{{role}: {column}}}}}"


def roles_by_name(names: tuple[str, ...], columns: Columns | None, path: Where, sample: Sequence[Sequence[str]]) -> Roles:
    """The given roles, and the others by the names of the columns.

    If several names are known for times, a column of times of the day is the last choice.

    Args:
        sample: fields of each column.

    Raises:
        InputError: a given column does not exist, or user or item is not found or ambiguous; the message lists the columns.
    """
    given = given_roles(names, columns, path)
    taken = set(given.values())
    plain_names = [plain(name) if index not in taken else "" for index, name in enumerate(names)]
    ratings, times = (_known(known, plain_names) for known in (RATING, TIME))
    times.sort(key=lambda index: _is_time_of_day(names[index], sample[index]))
    roles = Roles(
        given["user"] if "user" in given else _one("user", USER, plain_names, names, path),
        given["item"] if "item" in given else _one("item", ITEM, plain_names, names, path),
        given.get("rating", next(iter(ratings), None)),
        given.get("time", next(iter(times), None)),
    )
    return with_warnings(without(roles, columns), names, columns, path, sample)


def without(roles: Roles, columns: Columns | None) -> Roles:
    """The roles without those that the user says do not exist."""
    rating, time = (columns is not None and columns.has_no(role) for role in ("rating", "time"))
    return replace(roles, rating=None if rating else roles.rating, time=None if time else roles.time)


def with_warnings(
    roles: Roles, names: tuple[str, ...], columns: Columns | None, path: Where, sample: Sequence[Sequence[str]]
) -> Roles:
    """The roles with a warning if no time was found, or only one of the day, and an unused column holds times."""
    asked = columns is not None and columns.time is not None
    if asked or not (roles.time is None or _is_time_of_day(names[roles.time], sample[roles.time])):
        return roles
    unused = [index for index in range(len(names)) if index not in roles.used().values()]
    times = [index for index in unused if holds_times(sample[index]) and not plain(names[index]).endswith("id")]
    if not times:
        return roles
    name = names[times[0]]
    key = name if isinstance(path, str) or (names.count(name) == 1 and PLAIN.fullmatch(name)) else times[0]
    warning = (
        f"column {shown(name)} seems to hold times and is not used; if it says when each interaction happened, give "
        f"{setting('time', key, path)}, else give {setting('time', NO_COLUMN, path)}"
    )
    return replace(roles, warnings=(warning,))


def _is_time_of_day(name: str, fields: Sequence[str]) -> bool:
    """Whether a column has times of the day. The numbers of one that is called a timestamp may count from any moment."""
    return "timestamp" not in plain(name) and is_time_of_day(fields)


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
    return next(iter(_known(known, plain_names)), None)


def _known(known: Iterable[str], plain_names: Sequence[str]) -> list[int]:
    """The indices of the columns with known names, in the order of these names."""
    return [plain_names.index(name) for name in known if name in plain_names]


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
