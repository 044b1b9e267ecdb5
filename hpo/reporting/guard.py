"""A guard in front of the dashboard, which has no login: it refuses requests that the user did not mean to send.

A page of another site can make a browser send requests to this machine, and by a name of its own that leads here (DNS
rebinding) read the answers, too. So requests must name this server as it is known, and those that change something must not
come from another site's page. Files of studies, report.html among them, are shown without access to the dashboard they lie in.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

Environment = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environment, StartResponse], Iterable[bytes]]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
READING = ("GET", "HEAD", "OPTIONS")
FILES = "/artifacts/"  # where files of studies are served
# A page there has an origin of its own: its scripts run, and neither see nor change the dashboard.
ISOLATED = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src 'self'; frame-ancestors 'self'"
)
NOTHING = "default-src 'none'; frame-ancestors 'none'"  # of answers that are no pages
POLICY = "Content-Security-Policy"


def names_of(host: str, others: Iterable[str] = ()) -> set[str]:
    """The names by which a server that listens on `host` is known; `others` are those that a person adds."""
    own = [socket.gethostname(), socket.getfqdn()] if is_everywhere(host) else [host]
    return {name.lower().strip("[]") for name in (*LOOPBACK_NAMES, *own, *others)}


def is_everywhere(host: str) -> bool:
    """Whether it is the address that means all addresses of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host


def guarded(application: Application, host: str, others: Iterable[str] = ()) -> Application:
    """An application that answers requests for this server, and changes something only for its own pages.

    Args:
        host: what the server listens on; where that is all addresses, a request may name any address, but no name of a
            foreign one: rebinding takes a name.
        others: further names by which it is reached.
    """
    others = [*others]
    names, any_address = names_of(host, others), is_everywhere(host)
    known = {_name(f"//{name}") for name in others} - {""}  # a proxy may ask by another name than the browser

    def is_ours(origin: str, given: str) -> bool:
        return _netloc(origin) == _netloc(f"//{given}") or _name(origin) in known

    def refusal(environment: Environment) -> str:
        given = environment.get("HTTP_HOST", "")
        name = _name(f"//{given}")
        if name not in names and not (any_address and _is_address(name)):
            return "this server is not known by that name; start it with --known-as NAME if it should be"
        if environment.get("REQUEST_METHOD") in READING:
            return ""
        origin, site = environment.get("HTTP_ORIGIN"), environment.get("HTTP_SEC_FETCH_SITE", "same-origin")
        if site not in ("same-origin", "none") or (origin is not None and not is_ours(origin, given)):
            return "the page of another site may not change anything here"
        return ""

    def answer(environment: Environment, start_response: StartResponse) -> Iterable[bytes]:
        if why := refusal(environment):
            start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8"), *_headers({}, "")])
            return [f"{why}\n".encode()]

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept = [(name, value) for name, value in headers if name.lower() != "access-control-allow-origin"]
            return start_response(
                status, [*kept, *_headers({name.lower() for name, _ in kept}, environment.get("PATH_INFO", ""))], *more
            )

        return application(environment, start)

    return answer


def _headers(given: Iterable[str], path: str) -> list[tuple[str, str]]:
    """What is added to an answer: its type is what it says, nobody else frames it, and what its page may do."""
    added = [("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "SAMEORIGIN"), ("Referrer-Policy", "no-referrer")]
    if path.startswith(FILES):
        added.append((POLICY, ISOLATED))
    elif POLICY.lower() not in given and not path.startswith("/static/"):  # scripts may start workers, which inherit it
        added.append((POLICY, NOTHING))
    return added


def _name(address: str) -> str:
    """The host's name in an address; empty where there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _netloc(address: str) -> str:
    """Host and port, without those that go without saying; empty where there is none."""
    try:
        return urlsplit(address).netloc.lower().removesuffix(":80").removesuffix(":443")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
