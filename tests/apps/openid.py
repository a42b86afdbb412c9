"""A small OpenID provider on this machine: discovery, a form that asks for an address, tokens, keys, logout."""

import base64
import hashlib
import html
import secrets
import threading
import time
from urllib.parse import urlencode

import served
import uvicorn
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID, CLIENT_SECRET = "curation", "client-secret-of-the-test"


class Provider:
    """Anybody may log in under any address; an address at unverified.org is not verified. `url` is the issuer."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{served.free_port()}"
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.codes: dict[str, dict[str, str]] = {}
        routes = [
            Route("/.well-known/openid-configuration", self.discovery),
            Route("/authorize", self.authorize, methods=["GET", "POST"]),
            Route("/token", self.token, methods=["POST"]),
            Route("/jwks", self.jwks),
            Route("/logout", self.logout),
        ]
        port = int(self.url.rsplit(":", 1)[1])
        config = uvicorn.Config(Starlette(routes=routes), "127.0.0.1", port, log_level="warning")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def start(self) -> "Provider":
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()

    def secrets(self, redirect_uri: str) -> str:
        """The workspace's secrets.toml for an app at `redirect_uri`."""
        return "\n".join(
            [
                "[auth]",
                f'redirect_uri = "{redirect_uri}"',
                f'cookie_secret = "{secrets.token_hex(32)}"',
                f'client_id = "{CLIENT_ID}"',
                f'client_secret = "{CLIENT_SECRET}"',
                f'server_metadata_url = "{self.url}/.well-known/openid-configuration"',
            ]
        )

    async def discovery(self, _: Request) -> Response:
        ends = {"authorization": "authorize", "token": "token", "end_session": "logout"}
        return JSONResponse(
            {
                "issuer": self.url,
                **{f"{name}_endpoint": f"{self.url}/{path}" for name, path in ends.items()},
                "jwks_uri": f"{self.url}/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        if asked.get("client_id") != CLIENT_ID or asked.get("response_type") != "code":
            return HTMLResponse("unknown client", 400)
        if request.method == "GET":
            there = html.escape(str(request.url.include_query_params()))
            return HTMLResponse(
                f'<form method="post" action="{there}"><input name="email" aria-label="Address"><button>Go</button></form>'
            )
        email = str((await request.form())["email"])
        code = secrets.token_urlsafe(16)
        self.codes[code] = {**asked, "email": email}
        return RedirectResponse(
            f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}", 302
        )

    async def token(self, request: Request) -> Response:
        form = await request.form()
        given = self.codes.pop(str(form.get("code")), None)
        if (
            given is None
            or not self._is_client(request, form)
            or form["redirect_uri"] != given["redirect_uri"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != given["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now, email = int(time.time()), given["email"]
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": f"subject of {email}",
            "iat": now,
            "exp": now + 600,
            "nonce": given["nonce"],
            "email": email,
            "email_verified": not email.endswith("@unverified.org"),
        }
        id_token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        return JSONResponse(
            {
                "access_token": secrets.token_hex(8),
                "token_type": "Bearer",
                "expires_in": 600,
                "id_token": id_token,
            }
        )

    def _is_client(self, request: Request, form: dict) -> bool:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            return base64.b64decode(text).decode() == f"{CLIENT_ID}:{CLIENT_SECRET}"
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)

    async def jwks(self, _: Request) -> Response:
        return JSONResponse(KeySet([self.key]).as_dict(private=False))

    async def logout(self, request: Request) -> Response:
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], 302)
