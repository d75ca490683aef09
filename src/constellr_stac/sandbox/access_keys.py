"""Access keys of the object store: temporary ones for clients, and the server's own."""

from __future__ import annotations

import secrets
import string
import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from .options import Clock

__all__ = ["AccessKeys", "Keyring"]

_DEFAULT_SESSION = timedelta(hours=12)


@dataclass(frozen=True)
class AccessKeys:
    """Temporary credentials as issued by AWS STS."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: datetime | None
    """Expiry in UTC; ``None`` is never."""


class Keyring:
    """Every key pair the store knows, including expired ones, which get another error."""

    def __init__(self, clock: Clock, lifetime: timedelta | None) -> None:
        self._clock = clock
        self._lifetime = lifetime or _DEFAULT_SESSION
        self._lock = threading.Lock()
        self.server = _new_keys(None)
        """Keys with which the API signs URLs."""
        self._known = {self.server.access_key_id: self.server}
        self._current = self._issue()

    def find(self, access_key_id: str) -> AccessKeys | None:
        """Return the keys with this id."""
        return self._known.get(access_key_id)

    def current(self) -> AccessKeys:
        """Return keys with at least half of their lifetime left."""
        with self._lock:
            if self._clock.now() > self._renew_at:
                self._current = self._issue()
            return self._current

    def rotate(self) -> None:
        """Let all client keys expire, and issue new ones."""
        with self._lock:
            now = self._clock.now()
            for name, keys in self._known.items():
                if keys is not self.server:
                    self._known[name] = replace(keys, expires_at=now)
            self._current = self._issue()

    def _issue(self) -> AccessKeys:
        now = self._clock.now()
        keys = _new_keys(now + self._lifetime)
        self._known[keys.access_key_id] = keys
        self._renew_at = now + self._lifetime / 2
        return keys


def _new_keys(expires_at: datetime | None) -> AccessKeys:
    name = "".join(secrets.choice(string.ascii_uppercase) for _ in range(16))
    return AccessKeys(
        f"ASIA{name}", secrets.token_urlsafe(30), secrets.token_urlsafe(90) + "+/==", expires_at
    )
