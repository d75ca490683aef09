"""AWS credentials as immutable values, and the search for them, as in botocore.

:mod:`.aws` caches and renews them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from constellr_stac._process import STATE
from constellr_stac._secret import Secret, SharedOnCopy
from constellr_stac.errors import SigningError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constellr_stac._pushed import Owner

__all__ = ["PUSHED", "StorageCredentials", "from_botocore", "from_environment"]


@dataclass(frozen=True)
class StorageCredentials(SharedOnCopy):
    """AWS credentials. Secrets are masked in repr, and it cannot be pickled.

    Raises:
        ValueError: A key is empty, or ``expires_at`` has no time zone.

    Example:
        >>> StorageCredentials("AKIAEXAMPLE", "secret")
        StorageCredentials(expires_at=None, source='given in code')
    """

    access_key_id: str = field(repr=False)
    secret_access_key: Secret | str = field(repr=False)
    token: Secret | str | None = field(default=None, repr=False)
    """The session token of temporary credentials."""
    expires_at: datetime | None = None
    """Expiry (aware); ``None`` if unknown or never."""
    source: str = field(default="given in code", kw_only=True, compare=False)
    """Where they were found, for messages."""

    def __post_init__(self) -> None:
        if not self.access_key_id or not self.secret_access_key:
            msg = "AWS credentials need an access key id and a secret access key; one is empty."
            raise ValueError(msg)
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            msg = "AWS credentials' expires_at needs a time zone: datetime(..., tzinfo=UTC)."
            raise ValueError(msg)
        if self.expires_at is not None:  # botocore's have dateutil's time zones
            object.__setattr__(self, "expires_at", self.expires_at.astimezone(UTC))
        object.__setattr__(self, "secret_access_key", Secret(self.secret_access_key))
        object.__setattr__(self, "token", Secret(self.token) if self.token else None)

    @classmethod
    def of(cls, value: StorageCredentials | Mapping[str, Any]) -> StorageCredentials:
        """Return ``value`` as credentials; it may be a dict of an obstore provider.

        Raises:
            ValueError: The dict lacks a key.
        """
        if isinstance(value, StorageCredentials):
            return value
        missing = [name for name in ("access_key_id", "secret_access_key") if name not in value]
        if missing:
            msg = f"AWS credentials lack {' and '.join(missing)}."
            raise ValueError(msg)
        return cls(
            value["access_key_id"],
            value["secret_access_key"],
            value.get("token"),
            value.get("expires_at"),
        )

    def __reduce__(self) -> NoReturn:
        msg = (
            "StorageCredentials cannot be pickled, to keep secrets out of files and dask graphs. "
            "Pass a callable that fetches them there, or set the AWS_ variables in the "
            "environment of the other processes; with a dask client, "
            "constellr_stac.share_credentials(client) does without."
        )
        raise TypeError(msg)


PUSHED = "s3"
"""The key of credentials that :func:`constellr_stac.share_credentials` pushes to this process."""


def from_environment() -> StorageCredentials | None:
    """Return the credentials in the environment, or ``None`` if ``AWS_ACCESS_KEY_ID`` is not set.

    Raises:
        SigningError: They are incomplete, or ``AWS_CREDENTIAL_EXPIRATION`` is not a time.
    """
    access_key_id = os.environ.get("AWS_ACCESS_KEY_ID")
    secret = Secret(os.environ.get("AWS_SECRET_ACCESS_KEY", ""))
    if not access_key_id:
        return None
    if not secret:
        raise SigningError(
            "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not; set both or neither."
        )
    ends = os.environ.get("AWS_CREDENTIAL_EXPIRATION") or None
    try:
        return StorageCredentials(
            access_key_id,
            secret,
            os.environ.get("AWS_SECURITY_TOKEN") or os.environ.get("AWS_SESSION_TOKEN"),
            None if ends is None else datetime.fromisoformat(ends),
            source="environment variable AWS_ACCESS_KEY_ID",
        )
    except ValueError:
        raise SigningError(
            f"AWS_CREDENTIAL_EXPIRATION is {ends!r}; expected a time with time zone, such as "
            "2026-08-24T10:00:00Z."
        ) from None


def from_botocore(
    profile: str | None = None, *, not_pickled: bool = False, owner: Owner | None = None
) -> StorageCredentials:
    """Return the credentials of botocore's chain: profiles, SSO, web identity, roles.

    Args:
        profile: A profile's name; default ``AWS_PROFILE``.

    Keyword Args:
        not_pickled: Whether explicit credentials were lost when their source was pickled.
        owner: Whose graph needs them.

    Raises:
        SigningError: None were found, they cannot be fetched, or botocore is not installed.
    """
    try:
        import botocore.session
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise _not_found(profile, None, not_pickled, owner) from None
    session = botocore.session.Session(profile=profile)
    asked = f"profile {profile!r}" if profile else "the AWS configuration"
    try:
        held = session.get_credentials()
        frozen = None if held is None else held.get_frozen_credentials()
        profiles = session.available_profiles
    except (BotoCoreError, ClientError) as error:
        raise SigningError(f"Cannot get AWS credentials from {asked}: {error}") from error
    except (OSError, ValueError) as error:
        # A missing or unreadable program or file. Not chained: its content may be secret.
        raise SigningError(
            f"Cannot get AWS credentials from {asked}: {type(error).__name__}: {error}"
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever botocore makes of a damaged file
        raise SigningError(
            f"Cannot get AWS credentials from {asked}: {type(error).__name__}. Check its files."
        ) from None
    if held is None or frozen is None:
        raise _not_found(profile, profiles, not_pickled, owner)
    return StorageCredentials(
        frozen.access_key,
        frozen.secret_key,
        frozen.token,
        # Private, but botocore's only attribute for the expiry.
        getattr(held, "_expiry_time", None),
        source=f"AWS profile or role ({held.method})",
    )


def _not_found(
    profile: str | None,
    profiles: list[str] | None,
    not_pickled: bool,  # noqa: FBT001
    owner: Owner | None,
) -> SigningError:
    """Return the error that lists the places searched for AWS credentials."""
    pushed, advice = STATE.push_search(PUSHED, owner)
    looked = ["credentials given in code: not pickled to other processes"] * not_pickled + pushed
    if profile is None:
        looked += [
            f"environment variable {name}: {os.environ.get(name) or 'not set'}"
            for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE")
        ]
    else:
        looked.append(f"profile {profile!r}")
    files = " and ".join(
        os.path.expanduser(os.environ.get(variable) or default)  # noqa: PTH111 - works without a home
        for variable, default in (
            ("AWS_CONFIG_FILE", "~/.aws/config"),
            ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        )
    )
    if profiles is None:
        looked.append(
            f"{files}, SSO, roles: not searched (pip install 'constellr-stac[aws]' to do so)"
        )
    else:
        looked += [
            f"profiles in {files}: {', '.join(profiles) or 'none'}",
            "web identity, container and instance roles: none",
        ]
    places = "\n".join(f"  - {place}" for place in looked)
    return SigningError(
        f"No AWS credentials for s3:// hrefs were found. Searched:\n{places}\n"
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, if they are "
        f"temporary), or AWS_PROFILE, in the environment of this process.{advice}"
    )
