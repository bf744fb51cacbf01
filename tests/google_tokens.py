"""Google's token endpoint, and a service account that it knows."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

EMAIL = "gateway@project.iam.gserviceaccount.com"


class Tokens(ThreadingHTTPServer):
    """Google's token endpoint: it takes an assertion that is signed by the account's key, and counts."""

    daemon_threads = True

    def __init__(self, key: rsa.RSAPrivateKey, token: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.key = key
        public = key.public_key()
        self.public = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()
        self.token = token  # a new one each time, if it is empty
        self.calls = 0
        self.lives_s: Any = 3600
        self.refusal: tuple[int, bytes] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.claims: dict[str, Any] = {}


class _Exchange(BaseHTTPRequestHandler):
    server: Tokens

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self.server.calls += 1
        self.server.asked.set()
        self.server.gate.wait(20)
        if self.server.refusal is not None:
            self.answer(*self.server.refusal)
            return
        try:
            assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
            self.server.claims = dict(jwt.decode(form["assertion"][0], certs=self.server.public))  # type: ignore[no-untyped-call]
        except (AssertionError, ValueError):
            self.answer(400, b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}')
            return
        access = self.server.token or f"ya29.{self.server.calls}"
        token = {"access_token": access, "expires_in": self.server.lives_s, "token_type": "Bearer"}
        self.answer(200, json.dumps(token).encode())

    def do_GET(self) -> None:
        self.answer(200, b'{"access_token": "ya29.elsewhere", "expires_in": 3600}')

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def account(key: rsa.RSAPrivateKey, address: str, **more: Any) -> str:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    whole = {"type": "service_account", "client_email": EMAIL, "private_key": private, "token_uri": address}
    return json.dumps({**whole, "project_id": "project", "private_key_id": "1", **more})
