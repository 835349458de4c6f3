"""The key that signs the audit trail, and the checkpoints it signs, both kept outside the database.

A folder (by default `audit` in the user's data folder) holds the private key (`audit.key`, readable by its owner alone), the
public keys that are trusted (`trusted.keys`, a line each) and the checkpoints (`checkpoints.jsonl`). A checkpoint says how many
entries a database had at a time and the hash of the last; the file only grows, and is made to be shipped to another machine.
"""

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .errors import StoreError

KEY, TRUSTED, CHECKPOINTS = "audit.key", "trusted.keys", "checkpoints.jsonl"
DAILY = timedelta(days=1)  # a database in use has a checkpoint at least this often
ENTRY = b"careplan audit entry "  # before the hash of an entry, so that no signature of one thing serves for another
LINE = b"careplan audit checkpoint "

What = Literal["checkpoint", "accepted", "new key", "key lost"]


@dataclass(frozen=True)
class Checkpoint:
    """One signed line. what: a head; a head from which on the trail is accepted though it lacks what was signed before; or a
    change of keys, `detail` holding the new public key or the reason."""

    what: What
    database: str
    place: str
    entries: int
    head: str
    time: str
    key: str
    detail: str = ""
    signature: str = ""

    @property
    def body(self) -> bytes:
        told = {name: value for name, value in vars(self).items() if name != "signature"}
        return LINE + json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Signer:
    """A private key with the folder of its public keys and checkpoints."""

    folder: Path
    private: Ed25519PrivateKey

    @property
    def public(self) -> str:
        return base64.b64encode(self.private.public_key().public_bytes_raw()).decode()

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)

    def sign(self, hash: str) -> str:
        """A signature of an entry's hash, base64."""
        return base64.b64encode(self.private.sign(ENTRY + hash.encode())).decode()

    def note(self, what: What, database: str, place: str, entries: int, head: str, detail: str = "") -> Checkpoint:
        """Signs a line and appends it to the checkpoints."""
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        line = Checkpoint(what, database, place, entries, head, time, self.fingerprint, detail)
        line = replace(line, signature=base64.b64encode(self.private.sign(line.body)).decode())
        _append(self.folder / CHECKPOINTS, json.dumps(vars(line), ensure_ascii=False))
        return line


def open_signer(folder: Path, key: str | None = None) -> Signer:
    """The signer of a folder, whose key is made where there is none.

    key: another place of the key, or the key itself as PEM or base64. Raises `StoreError` where a key is given and is none, where
    others may read it, or where it was lost: trusted keys or checkpoints exist, and the key does not.
    """
    text = key and _given(key)
    path = folder / KEY
    try:
        if text is None:
            if not path.exists():
                _make(folder, path)
            if problem := exposed(folder):
                raise StoreError(problem)
            text = path.read_text()
        signer = Signer(folder, _read(text, str(path) if not key else "CAREPLAN_AUDIT_KEY"))
        if signer.fingerprint not in trusted(folder):
            if key is None and (folder / TRUSTED).exists():
                raise StoreError(f"{path}: this key is not one of {folder / TRUSTED}")
            _append(folder / TRUSTED, signer.public)
    except OSError as error:
        raise StoreError(f"{error.filename or folder}: the audit key cannot be read or made ({error.strerror})") from error
    return signer


def exposed(folder: Path) -> str | None:
    """That others may read a folder's key, and sign with it; None where they may not, or it lies elsewhere."""
    path = folder / KEY
    if os.name != "posix" or not path.exists() or not path.stat().st_mode & 0o077:
        return None
    return f"{path}: others than its owner may read the audit key: chmod 600 it, and make a new one"


def default_signer() -> Signer:
    """The signer that the settings name."""
    from careplan.settings import Settings

    settings = Settings()
    return open_signer(settings.audit_folder(), settings.audit_key)


def new_key(folder: Path, *, lost: str | None = None) -> Signer:
    """Another key from now on. The old one signs for it; where it is lost, `lost` says why, and only a person vouches for it.

    The old public key stays trusted: what it signed can be verified as before. Raises `StoreError`.
    """
    path = folder / KEY
    old = None if lost is not None else open_signer(folder)
    fresh = Ed25519PrivateKey.generate()
    new = Signer(folder, fresh)
    if old is not None:
        old.note("new key", "", "", 0, "", new.public)
    _append(folder / TRUSTED, new.public)
    _private_file(folder, fresh).replace(path)
    if lost is not None:
        new.note("key lost", "", "", 0, "", lost)
    return new


def trusted(folder: Path) -> dict[str, Ed25519PublicKey]:
    """The public keys that are trusted, by fingerprint. Raises `StoreError` for a line that is none."""
    path, found = folder / TRUSTED, {}
    if not path.exists():
        return {}
    for number, line in enumerate(path.read_text(errors="replace").split(), start=1):
        try:
            found[fingerprint(line)] = Ed25519PublicKey.from_public_bytes(base64.b64decode(line))
        except ValueError as error:
            raise StoreError(f"{path} line {number}: expected an Ed25519 public key, base64 of 32 bytes ({error})") from error
    return found


def checkpoints(folder: Path) -> Iterator[tuple[int, Checkpoint | str]]:
    """The lines of the checkpoints with their numbers, each signed by a trusted key; what is wrong with one in its place."""
    keys = trusted(folder)
    for number, text in _lines(folder):
        try:
            yield number, _checked(text, keys)
        except KeyError:
            yield number, f"{folder / CHECKPOINTS} line {number}: its key is not one of {TRUSTED}"
        except (ValueError, TypeError, InvalidSignature):
            yield number, f"{folder / CHECKPOINTS} line {number}: its signature is not valid, so it was changed or cut"


def last_checkpoint(folder: Path, database: str, place: str) -> Checkpoint | None:
    """The newest line about a place; where there is none, as of a database that was moved or copied there, about the database."""
    keys, of = trusted(folder), None
    for _, text in reversed(_lines(folder)):
        if place in text or (of is None and database in text):
            with suppress(KeyError, ValueError, TypeError, InvalidSignature):  # verifying tells of a line that is not valid
                line = _checked(text, keys)
                if line.entries and line.place == place:
                    return line
                of = line if of is None and line.entries and line.database == database else of
    return of


def _lines(folder: Path) -> list[tuple[int, str]]:
    path = folder / CHECKPOINTS
    return list(enumerate(path.read_text(errors="replace").splitlines(), start=1)) if path.exists() else []


def _checked(text: str, keys: Mapping[str, Ed25519PublicKey]) -> Checkpoint:
    """A line whose signature is valid. Raises `KeyError` for an unknown key; `InvalidSignature`, `ValueError` or `TypeError`."""
    line = Checkpoint(**json.loads(text))
    keys[line.key].verify(base64.b64decode(line.signature, validate=True), line.body)
    return line


def retired(folder: Path) -> dict[str, str]:
    """By fingerprint, when a key was replaced: what it signed until then stays valid. A lost key is replaced by the next."""
    keys, found = list(trusted(folder)), {}
    for _, line in checkpoints(folder):
        if isinstance(line, Checkpoint) and line.what == "new key":
            found[line.key] = line.time
        elif isinstance(line, Checkpoint) and line.what == "key lost":
            found |= {key: line.time for key in keys[: keys.index(line.key)] if key not in found}
    return found


def signed_by(keys: Mapping[str, Ed25519PublicKey], key: str | None, hash: str, signature: str | None) -> bool | None:
    """Whether a trusted key signed an entry's hash; None where the entry is not signed."""
    if signature is None:
        return None
    try:
        keys[key or ""].verify(base64.b64decode(signature, validate=True), ENTRY + hash.encode())
    except (KeyError, ValueError, InvalidSignature):
        return False
    return True


def fingerprint(public: str) -> str:
    """16 hexadecimal digits that name a public key."""
    return hashlib.sha256(public.encode()).hexdigest()[:16]


def _given(key: str) -> str:
    """The text of a key that is given as itself or as a path."""
    return key if "PRIVATE KEY" in key or not Path(key).expanduser().exists() else Path(key).expanduser().read_text()


def _read(text: str, origin: str) -> Ed25519PrivateKey:
    try:
        if "PRIVATE KEY" in text:
            found: Any = serialization.load_pem_private_key(text.encode(), password=None)
        else:
            found = Ed25519PrivateKey.from_private_bytes(base64.b64decode(text.strip(), validate=True))
    except (ValueError, TypeError) as error:
        raise StoreError(f"{origin}: expected an Ed25519 private key, PEM or base64 of 32 bytes, or the path of one") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise StoreError(f"{origin}: expected an Ed25519 key, not {type(found).__name__}")
    return found


def _make(folder: Path, path: Path) -> None:
    """A first key. Where others were trusted before, the key is lost, and saying so is a person's to do."""
    if ((folder / TRUSTED).exists() or (folder / CHECKPOINTS).exists()) and not path.exists():
        raise StoreError(f"{path}: the audit key is lost: put it back, or begin anew with `careplan audit new-key --lost REASON`")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = Ed25519PrivateKey.generate()
    scratch = _private_file(folder, private)
    try:
        os.link(scratch, path)  # whole or not at all, and only where there is none
    except FileExistsError:  # another process made it just now
        return
    finally:
        scratch.unlink()
    _append(folder / TRUSTED, Signer(folder, private).public)


def _private_file(folder: Path, private: Ed25519PrivateKey) -> Path:
    """A private key in a file of its own that only its owner can read, ready to be put in place."""
    body = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with NamedTemporaryFile(dir=folder, prefix=f"{KEY}.", delete=False) as file:
        file.write(body)
        return Path(file.name)


def _append(path: Path, line: str) -> None:
    """One line at the end, in one write, so that processes do not mix theirs."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(path, "ab") as file:
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
