"""A keyring in a file, selected by ``PYTHON_KEYRING_BACKEND`` in test processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import NoKeyringError


class FileKeyring(KeyringBackend):
    """Stores credentials in the file ``FILE_KEYRING``."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return self._entries().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write({**self._entries(), f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        entries = self._entries()
        del entries[f"{service} {username}"]
        self._write(entries)

    def _entries(self) -> dict[str, str]:
        path = self._path()
        content: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return content

    def _write(self, entries: dict[str, str]) -> None:
        self._path().write_text(json.dumps(entries))

    def _path(self) -> Path:
        if "FILE_KEYRING" not in os.environ:
            raise NoKeyringError
        return Path(os.environ["FILE_KEYRING"])


class ForgetfulKeyring(FileKeyring):
    """Accepts credentials without storing them, like some locked keyrings."""

    def set_password(self, service: str, username: str, password: str) -> None:
        pass
