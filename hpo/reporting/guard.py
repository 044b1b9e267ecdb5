"""Protects the dashboard, which has no login, from requests that the user did not mean to send.

A page of another site can make a browser send requests to this machine. If the name of that site leads to this machine (DNS
rebinding), the page can read the answers, too. So each request must give a known name of this server. A request that changes
something must not come from another site's page. Files of studies, such as report.html, get no access to the dashboard.
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
FILES = "/artifacts/"  # the path of the files of studies
# The policy of these files. A page has an origin of its own: its scripts run, but can neither read nor change the dashboard.
ISOLATED = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src 'self'; frame-ancestors 'self'"
)
NOTHING = "default-src 'none'; frame-ancestors 'none'"  # the policy of answers that are no pages
POLICY = "Content-Security-Policy"


def names_of(host: str, others: Iterable[str] = ()) -> set[str]:
    """The names of a server that listens on `host`, in lower case; `others` are the names that the user adds."""
    own = [socket.gethostname(), socket.getfqdn()] if is_everywhere(host) else [host]
    return {name.lower().strip("[]") for name in (*LOOPBACK_NAMES, *own, *others)}


def is_everywhere(host: str) -> bool:
    """Whether a host stands for all addresses of the machine, as 0.0.0.0 does."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host


def guarded(application: Application, host: str, others: Iterable[str] = ()) -> Application:
    """The application behind a guard, which answers with 403 if the server's name is unknown or another site asks for a change.

    Args:
        host: the host that the server listens on. If it stands for all addresses, a request may give any address in numbers:
            DNS rebinding needs a name.
        others: further names of the server.
    """
    others = [*others]
    names, any_address = names_of(host, others), is_everywhere(host)
    known = {_name(f"//{name}") for name in others} - {""}  # a proxy may use another name than the browser

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
    """The headers to add to an answer, which limit what a browser does with it.

    The browser must not guess the type, must not show the answer in a frame of another site, and must not tell other sites the
    address. A policy limits what a page may do.

    Args:
        given: the names of the headers that the answer has, in lower case.
        path: the path of the request.
    """
    added = [("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "SAMEORIGIN"), ("Referrer-Policy", "no-referrer")]
    if path.startswith(FILES):
        added.append((POLICY, ISOLATED))
    elif POLICY.lower() not in given and not path.startswith("/static/"):  # workers would inherit the policy of a script
        added.append((POLICY, NOTHING))
    return added


def _name(address: str) -> str:
    """The name of the host in an address; empty if there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _netloc(address: str) -> str:
    """The host and port in an address, without the default ports 80 and 443; empty if there is no host."""
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
