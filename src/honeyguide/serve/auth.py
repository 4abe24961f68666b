"""API keys: kept as hashes, with what each may do and how often; the keys themselves are shown once and kept nowhere.

A key is `hg_ID_SECRET`: the id finds its line, and the SHA-256 of the whole is compared in constant time. The secret
is 256 random bits, so a fast hash is as good as a slow one.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import get_args

import msgspec

from honeyguide.artifacts import write_atomically
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.serve.endpoint import Scope
from honeyguide.serve.problems import NO_KEY, NO_SCOPE, Refusal

FILE_NAME = "keys.json"
SCOPES: tuple[Scope, ...] = get_args(Scope)
_CHALLENGE = {"www-authenticate": "Bearer"}


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a key; `rate` is requests a second, 0 is no limit."""

    key_id: str
    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    rate: float
    created: datetime
    revoked: datetime | None = None

    def may(self, scope: Scope) -> bool:
        """Whether this key allows that; who may administer may do everything."""
        return scope in self.scopes or "admin" in self.scopes


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    keys: list[Key]


@dataclass(frozen=True, slots=True)
class Made:
    """A new key, and its text, which is nowhere else."""

    key: Key
    text: str


class Keys:
    """The keys of one shop, read again when their file changes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._keys: dict[str, Key] = {}
        self._stamp: tuple[int, int] | None = None

    def all(self) -> tuple[Key, ...]:
        """Every key that was ever made, the revoked ones too; DamagedArtifact."""
        self._read()
        return tuple(self._keys.values())

    def create(
        self, *, name: str, scopes: tuple[str, ...], rate: float, now: datetime, random: bytes
    ) -> Made:
        """A new key out of at least 36 random bytes; InvalidInput."""
        known = tuple(scope for scope in SCOPES if scope in scopes)
        if not scopes or set(scopes) - set(known):
            raise InvalidInput(f"scopes are among {', '.join(SCOPES)}, got {', '.join(scopes) or 'none'}")
        if not 0 <= rate < 1e9:
            raise InvalidInput(f"rate is requests a second, 0 for no limit, got {rate:g}")
        if len(random) < 36:
            raise InvalidInput(f"a key needs 36 random bytes, got {len(random)}")
        key_id = random[:4].hex()
        if any(key.key_id == key_id for key in self.all()):
            raise InvalidInput(f"there is a key {key_id} already: make one of other random bytes")
        text = f"hg_{key_id}_{random[4:].hex()}"
        key = Key(key_id, name, sha256(text.encode()).hexdigest(), known, rate, now)
        self._write([*self.all(), key])
        return Made(key, text)

    def revoke(self, key_id: str, now: datetime) -> Key:
        """Refuse a key from now on; InvalidInput where there is none of that id."""
        keys = {key.key_id: key for key in self.all()}
        if key_id not in keys:
            raise InvalidInput(f"there is no key {key_id!r}. There are: {', '.join(keys) or 'none'}")
        if keys[key_id].revoked is None:
            keys[key_id] = msgspec.structs.replace(keys[key_id], revoked=now)
            self._write(list(keys.values()))
        return keys[key_id]

    def admit(self, headers: Mapping[str, str], scope: Scope) -> Key | None:
        """The key that a request carries, None where the shop has no keys; Refusal."""
        if not self.all():
            return None
        kind, _, text = headers.get("authorization", "").partition(" ")
        others = headers.get("x-api-key") or headers.get("ocp-apim-subscription-key", "")
        given = text.strip() if kind.lower() == "bearer" else others
        key = self._keys.get(given.split("_")[1] if given.count("_") == 2 else "")
        digest = sha256(given.encode("utf-8", "surrogateescape")).hexdigest()
        # what is compared to without a key is as long, so that time tells nothing
        same = hmac.compare_digest(digest, key.sha256 if key else "0" * 64)
        if key is None or not same or key.revoked is not None:
            raise Refusal(NO_KEY, "send a key as Authorization: Bearer hg_...", headers=_CHALLENGE)
        if not key.may(scope):
            raise Refusal(NO_SCOPE, f"this needs a key with the scope {scope!r}")
        return key

    def _read(self) -> None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._keys, self._stamp = {}, None
            return
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == self._stamp:
            return
        try:
            file = msgspec.json.decode(self.path.read_bytes(), type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DamagedArtifact(
                f"{self.path}: {error}. Restore it from a backup, or make new keys"
            ) from None
        self._keys, self._stamp = {key.key_id: key for key in file.keys}, stamp

    def _write(self, keys: list[Key]) -> None:
        # written anew with rights for the owner alone
        write_atomically(self.path, msgspec.json.format(msgspec.json.encode(_File(1, keys))))
        self._stamp = None
