"""Keys of people and of the project: text under a person's key goes with the key; what is said is signed.

A person's key is 32 random bytes in a file of its own (0600). Destroying it makes all that was sealed under
it unreadable, also in copies and backups that have no key. The file is removed, not overwritten: on
journalling and copying file systems and on flash, writing over a file does not reach its old blocks.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bapsim.core.errors import StoreError
from bapsim.store import fault

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORM = b"\x01"  # of a sealed body: form, 8 bytes that name the key, 12 of nonce, AES-256-GCM with its tag
SHORTEST = 1 + 8 + 12 + 16
SIGNING = "signing.key"

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")


def _private(folder: Path) -> None:
    """The folder, for its owner only."""
    if not folder.is_dir():
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        fault.sync(folder.parent)


def _made_once(path: Path, body: bytes) -> bytes:
    """Write a file of the owner's alone unless another process was first; what it holds then."""
    _private(path.parent)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(body)
    fault.sync(temporary)
    fault.point("before key")
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return path.read_bytes()
    finally:
        temporary.unlink()
    fault.sync(path.parent)
    fault.point("after key")
    return body


def _named(key: bytes) -> bytes:
    return hashlib.sha256(b"bapsim key" + key).digest()[:8]


@dataclass(frozen=True)
class Keys:
    """The keys of people in a folder, one file each; no key is kept in memory."""

    folder: Path

    def _path(self, person: str) -> Path:
        if not _PLAIN.fullmatch(person):
            raise StoreError("no_such_person", person=person)
        return self.folder / f"{person}.key"

    def has(self, person: str) -> bool:
        """Whether there is a key of this person."""
        return self._path(person).exists()

    def seal(self, person: str, body: bytes) -> bytes:
        """The body under the person's key, which is made where there is none."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        path = self._path(person)
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = _made_once(path, secrets.token_bytes(32))
        nonce = secrets.token_bytes(12)
        return FORM + _named(key) + nonce + AESGCM(key).encrypt(nonce, body, person.encode())

    def unseal(self, person: str, body: bytes) -> bytes:
        """What was sealed; raises StoreError when its key was destroyed, or when the body was changed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(body) < SHORTEST or body[:1] != FORM:
            raise StoreError("sealed_damaged", person=person)
        try:
            key = self._path(person).read_bytes()
        except FileNotFoundError as error:
            raise StoreError("key_destroyed", person=person) from error
        if _named(key) != body[1:9]:
            raise StoreError("key_destroyed", person=person)
        try:
            return AESGCM(key).decrypt(body[9:21], body[21:], person.encode())
        except InvalidTag as error:
            raise StoreError("sealed_damaged", person=person) from error

    def destroy(self, person: str) -> bool:
        """Remove a person's key for good; False when there was none."""
        path = self._path(person)
        fault.point("before key destroyed")
        there = path.exists()
        for one in (path, *self.folder.glob(f"{path.name}.*.tmp")):  # a killed maker may have left a second
            one.unlink(missing_ok=True)
        if self.folder.is_dir():
            fault.sync(self.folder)
        fault.point("after key destroyed")
        return there


# ---------------------------------------------------------------------- signatures
def _signer(folder: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = folder / SIGNING
    try:
        pem = path.read_bytes()
    except FileNotFoundError:
        new = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        pem = _made_once(path, new)
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise StoreError("signing_key_unreadable", path=str(path)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StoreError("signing_key_unreadable", path=str(path))
    return key


def sign(folder: Path, body: bytes) -> str:
    """The Ed25519 signature of a body under the project's key, in base64; the key is made at first use."""
    return base64.b64encode(_signer(folder).sign(body)).decode()


def public_key(folder: Path) -> str:
    """The public half of the project's signing key: 32 bytes in base64."""
    return base64.b64encode(_signer(folder).public_key().public_bytes_raw()).decode()


def verified(public: str, body: bytes, signature: str) -> bool:
    """Whether a signature is this key's for this body; never raises for a malformed one."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        key.verify(base64.b64decode(signature, validate=True), body)
    except (InvalidSignature, ValueError):
        return False
    return True


def canonical(body: dict[str, Any]) -> bytes:
    """A statement as it is signed."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def signed(folder: Path, body: dict[str, Any]) -> dict[str, Any]:
    """A statement: its body, the signature over it, and the key that it can be checked with."""
    whole = canonical(body)
    return {
        "body": body,
        "signature": sign(folder, whole),
        "public_key": public_key(folder),
        "digest": hashlib.sha256(whole).hexdigest(),
        "form": "Ed25519 over the body as JSON with sorted keys and no blanks, in UTF-8",
    }


def is_sound(said: dict[str, Any]) -> bool:
    """Whether a statement is what was signed, by whoever's key it names."""
    try:
        return verified(str(said["public_key"]), canonical(said["body"]), str(said["signature"]))
    except (KeyError, TypeError, ValueError):
        return False
