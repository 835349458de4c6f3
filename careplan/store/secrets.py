"""What must be read again and told to nobody, kept encrypted in a row, under a key that is derived from the one that signs the
audit trail and is not in the database.

AES-256-GCM under HKDF-SHA-256 of the private key's bytes (RFC 5869), with a fresh nonce. What a secret is for is authenticated
with it: a secret that is moved to another row does not open there.
"""

import base64
import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .errors import StoreError
from .keys import Signer

NONCE = 12  # bytes, as NIST SP 800-38D recommends for GCM
PURPOSE = b"careplan secrets of rows"


def lock(signer: Signer, secret: str, *bound: str) -> str:
    """A secret as it may lie in the database. bound: what it is for, without which it does not open."""
    nonce = os.urandom(NONCE)
    sealed = _cipher(signer).encrypt(nonce, secret.encode(), _told(bound))
    return f"{signer.fingerprint}:{base64.b64encode(nonce + sealed).decode()}"


def unlock(signer: Signer, locked: str, *bound: str) -> str:
    """What was locked. Raises `StoreError` where another key locked it, or it or what it is for was changed."""
    key, _, body = locked.partition(":")
    if key != signer.fingerprint:
        raise StoreError("it was kept under another key than the one in use, and must be given again")
    try:
        raw = base64.b64decode(body, validate=True)
        return _cipher(signer).decrypt(raw[:NONCE], raw[NONCE:], _told(bound)).decode()
    except (ValueError, InvalidTag):
        raise StoreError("it was changed past careplan, and must be given again") from None


def _cipher(signer: Signer) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(signer.private.private_bytes_raw())
    return AESGCM(derived)


def _told(bound: tuple[str, ...]) -> bytes:
    return json.dumps(bound, ensure_ascii=False).encode()
