"""A small identity provider that speaks OpenID Connect on the loopback: discovery, authorisation code, signed tokens, keys.

Whoever signs in picks a person from a form, as if a password had been typed; `asked` remembers every request for authorisation,
so that a test sees when a password was asked for anew. It knows no secrets and is for tests alone.
"""

import json
import secrets
import threading
import time
from base64 import b64decode
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "careplan", "not-a-secret"  # of the client that tests register


class Provider:
    """People by name with their claims; served until it is stopped."""

    def __init__(self, people: Mapping[str, Mapping[str, Any]]) -> None:
        self.people = people
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.codes: dict[str, tuple[str, str, float]] = {}  # code -> who, nonce, when the password was asked
        self.asked: list[dict[str, str]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.get(self)

            def do_POST(self) -> None:
                provider.post(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://localhost:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def metadata_url(self) -> str:
        return f"{self.issuer}/.well-known/openid-configuration"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def get(self, request: BaseHTTPRequestHandler) -> None:
        asked = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if asked.path == "/.well-known/openid-configuration":
            _json(request, self._metadata())
        elif asked.path == "/keys":
            _json(request, {"keys": [self.key.as_dict(private=False)]})
        elif asked.path == "/authorize":
            self.asked.append(query)
            links = "".join(
                f"<p><a id='{name}' href='/grant?{urlencode({**query, 'who': name})}'>{name}</a></p>" for name in self.people
            )
            _html(request, f"<h1>Sign in at the clinic</h1>{links}")
        elif asked.path == "/grant":
            code = secrets.token_urlsafe(16)
            self.codes[code] = (query["who"], query.get("nonce", ""), time.time())
            back = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
            request.send_response(302)
            request.send_header("Location", back)
            request.end_headers()
        else:
            request.send_error(404)

    def post(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length", "0"))
        body = {name: values[0] for name, values in parse_qs(request.rfile.read(length).decode()).items()}
        found = self.codes.pop(body.get("code", ""), None)
        if request.path != "/token" or found is None or self._client(request, body) != (CLIENT, SECRET):
            request.send_error(400)
            return
        who, nonce, when = found
        now = int(time.time())
        claims = {
            **{"iss": self.issuer, "sub": who, "aud": CLIENT, "nonce": nonce},
            **{"iat": now, "exp": now + 300, "auth_time": int(when), **self.people[who]},
        }
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        _json(request, {"access_token": secrets.token_urlsafe(8), "token_type": "Bearer", "expires_in": 300, "id_token": token})

    def _client(self, request: BaseHTTPRequestHandler, body: Mapping[str, str]) -> tuple[str, str]:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = b64decode(given).decode().partition(":")
            return unquote(name), unquote(secret)
        return body.get("client_id", ""), body.get("client_secret", "")

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }


def settings(provider: Provider, app: str) -> str:
    """The TOML that `careplan app --sign-in` reads, for an app at an address."""
    client = f'client_id = "{CLIENT}"\nclient_secret = "{SECRET}"\nserver_metadata_url = "{provider.metadata_url}"\n'
    return (
        f'[auth]\nredirect_uri = "{app}/oauth2callback"\ncookie_secret = "{secrets.token_hex(16)}"\n{client}'
        f'[auth.again]\n{client}client_kwargs = {{ prompt = "login" }}\n'
    )


def _json(request: BaseHTTPRequestHandler, body: Mapping[str, Any]) -> None:
    _answer(request, json.dumps(body).encode(), "application/json")


def _html(request: BaseHTTPRequestHandler, body: str) -> None:
    _answer(request, f"<!doctype html><title>Sign in</title>{body}".encode(), "text/html")


def _answer(request: BaseHTTPRequestHandler, body: bytes, kind: str) -> None:
    request.send_response(200)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
