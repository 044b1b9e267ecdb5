"""The dashboard refuses foreign requests, and its answers restrict browsers."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna_dashboard import wsgi

from hpo.reporting.guard import Application, guarded

OWN_POLICY = [("Content-Type", "text/html"), ("Content-Security-Policy", "default-src 'self'")]


def asked(
    application: Application, path: str = "/api/studies", method: str = "GET", **headers: str
) -> tuple[str, dict[str, str]]:
    """The status and the headers of an answer. Header names are in lower case."""
    environment: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": method, "HTTP_HOST": "127.0.0.1:8080"}
    environment |= {f"HTTP_{name}": value for name, value in headers.items()}
    environment |= {"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0"}
    setup_testing_defaults(environment)
    seen: list[Any] = []
    list(application(environment, lambda status, given, *more: seen.extend([status, given])))
    return seen[0], {name.lower(): value for name, value in seen[1]}


def echo(environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """An application that lets all origins read its answers."""
    headers = OWN_POLICY if environment["PATH_INFO"] == "/dashboard" else [("Access-Control-Allow-Origin", "*")]
    start_response("200 OK", headers)
    return [b"x"]


@pytest.mark.parametrize(
    ("host", "header", "is_known"),
    [
        ("127.0.0.1", "127.0.0.1:8080", True),
        ("127.0.0.1", "localhost:9999", True),  # a tunnel
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "[::1]:8080", True),
        ("127.0.0.1", "evil.example:8080", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "localhost@evil.example", False),
        ("127.0.0.1", "10.0.0.7:8080", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[", False),
        ("10.0.0.7", "10.0.0.7:8080", True),
        ("lab.example", "lab.example:8080", True),
        ("0.0.0.0", "10.0.0.7:8080", True),
        ("0.0.0.0", f"{socket.gethostname()}:8080", True),
        ("0.0.0.0", "evil.example:8080", False),
        ("::", "[fe80::7]:8080", True),
    ],
)
def test_a_request_must_name_this_server(host: str, header: str, is_known: bool):
    """Without this rule a foreign name that resolves to this server could read everything."""
    status, _ = asked(guarded(echo, host), HOST=header)
    assert status == ("200 OK" if is_known else "403 Forbidden")


def test_a_name_from_the_command_line_is_accepted():
    assert asked(guarded(echo, "127.0.0.1", ["Proxy.example"]), HOST="proxy.example")[0] == "200 OK"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ({}, True),  # no browser
        ({"ORIGIN": "http://127.0.0.1:8080"}, True),
        ({"ORIGIN": "http://127.0.0.1:8080", "SEC_FETCH_SITE": "same-origin"}, True),
        ({"HOST": "localhost:9999", "ORIGIN": "http://localhost:9999"}, True),
        ({"ORIGIN": "http://127.0.0.1:3000"}, False),
        ({"ORIGIN": "https://evil.example"}, False),
        ({"ORIGIN": "null"}, False),  # a page in a sandbox, for example a study's file
        ({"SEC_FETCH_SITE": "cross-site"}, False),
        ({"SEC_FETCH_SITE": "same-site"}, False),
    ],
)
def test_only_its_own_pages_may_change_something(method: str, headers: dict[str, str], may: bool):
    application = guarded(echo, "127.0.0.1")
    assert asked(application, method=method, **headers)[0] == ("200 OK" if may else "403 Forbidden")
    assert asked(application, **headers)[0] == "200 OK", "reading is harmless, because the foreign page does not get the answer"


def test_answers_have_headers_that_restrict_browsers():
    application = guarded(echo, "127.0.0.1")
    for path in ("/dashboard", "/api/studies", "/static/bundle.js", "/artifacts/0/ab-1"):
        _, headers = asked(application, path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert "access-control-allow-origin" not in headers
    assert asked(application, "/dashboard")[1]["content-security-policy"] == "default-src 'self'"
    assert asked(application)[1]["content-security-policy"].startswith("default-src 'none'")
    assert asked(application, "/artifacts/0/ab-1")[1]["content-security-policy"].startswith("sandbox allow-scripts; ")
    assert "content-security-policy" not in asked(application, "/static/bundle.js")[1]


def test_the_guard_works_with_the_real_dashboard():
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="kept", storage=storage)
    application = guarded(wsgi(storage), "127.0.0.1")
    assert asked(application, "/api/studies/0", "DELETE", ORIGIN="https://evil.example")[0] == "403 Forbidden"
    assert asked(application, "/api/studies", HOST="evil.example")[0] == "403 Forbidden"
    assert optuna.get_all_study_names(storage) == ["kept"]
    assert asked(application, "/api/studies/0", "DELETE", ORIGIN="http://127.0.0.1:8080")[0] == "204 No Content"
    assert optuna.get_all_study_names(storage) == []
    status, headers = asked(application, "/dashboard")
    assert status == "200 OK"
    assert "script-src 'self'" in headers["content-security-policy"], "the dashboard has its own policy"
