"""AWS credentials as values, and where they are found: the same places as botocore's.

:mod:`.aws` caches and refreshes them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, Self

from constellr_stac._process import STATE
from constellr_stac._pushed import push_hint
from constellr_stac.auth.credentials import Secret
from constellr_stac.errors import SigningError

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["PUSHED", "StorageCredentials", "from_botocore", "from_environment"]


@dataclass(frozen=True)
class StorageCredentials:
    """AWS credentials as a value. No secret shows in its repr, and it is not pickled.

    Raises:
        ValueError: A key is empty, or ``expires_at`` has no time zone.

    Example:
        >>> StorageCredentials("AKIAEXAMPLE", "secret")
        StorageCredentials(expires_at=None, source='given in code')
    """

    access_key_id: str = field(repr=False)
    secret_access_key: Secret | str = field(repr=False)
    token: Secret | str | None = field(default=None, repr=False)
    """The session token that temporary credentials come with."""
    expires_at: datetime | None = None
    """When the session ends (aware); ``None`` when it does not, or nobody says."""
    source: str = field(default="given in code", kw_only=True, compare=False)
    """Where they were found, for messages."""

    def __post_init__(self) -> None:
        if not self.access_key_id or not self.secret_access_key:
            msg = "AWS credentials need an access key id and a secret access key; one is empty."
            raise ValueError(msg)
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            msg = "AWS credentials' expires_at needs a time zone: datetime(..., tzinfo=UTC)."
            raise ValueError(msg)
        object.__setattr__(self, "secret_access_key", Secret(self.secret_access_key))
        object.__setattr__(self, "token", Secret(self.token) if self.token else None)

    @classmethod
    def of(cls, value: StorageCredentials | Mapping[str, Any]) -> StorageCredentials:
        """Return ``value`` as credentials; it may be a dict as obstore's providers return.

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

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        msg = (
            "StorageCredentials are not pickled, so that no secret ends up in a file or a dask "
            "graph. Give a callable that gets them where the work is done, set the AWS_ variables "
            "there, or use constellr_stac.share_credentials(dask_client)."
        )
        raise TypeError(msg)


PUSHED = "s3"
"""The key of credentials that :func:`constellr_stac.share_credentials` pushes to this process."""


def from_environment() -> StorageCredentials | None:
    """Return the credentials in the environment, or ``None`` if ``AWS_ACCESS_KEY_ID`` is not set.

    Raises:
        SigningError: They are incomplete, or ``AWS_CREDENTIAL_EXPIRATION`` is no time.
    """
    access_key_id = os.environ.get("AWS_ACCESS_KEY_ID")
    secret = Secret(os.environ.get("AWS_SECRET_ACCESS_KEY", ""))
    if not access_key_id:
        return None
    if not secret:
        raise SigningError(
            "The environment has AWS_ACCESS_KEY_ID but no AWS_SECRET_ACCESS_KEY; set both, or none."
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
            f"AWS_CREDENTIAL_EXPIRATION is {ends!r}; a time with its zone is expected, such as "
            "2026-08-24T10:00:00Z."
        ) from None


def from_botocore(profile: str | None = None, *, left_behind: bool = False) -> StorageCredentials:
    """Return what botocore's chain finds: profiles, SSO, web identity, the machine's own role.

    Args:
        profile: A profile's name; by default the one that ``AWS_PROFILE`` names.

    Keyword Args:
        left_behind: Whether there were credentials given in code, in another process.

    Raises:
        SigningError: It finds none, or cannot get them; or botocore is not installed.
    """
    try:
        import botocore.session
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise _not_found(profile, None, left_behind=left_behind) from None
    session = botocore.session.Session(profile=profile)
    asked = f"profile {profile!r}" if profile else "the AWS configuration"
    try:
        held = session.get_credentials()
        frozen = None if held is None else held.get_frozen_credentials()
        profiles = session.available_profiles
    except (BotoCoreError, ClientError) as error:
        raise SigningError(f"AWS credentials cannot be had from {asked}: {error}") from error
    except (OSError, ValueError) as error:
        # A program or a file that is not there, or whose content makes no sense: that is not kept.
        raise SigningError(
            f"AWS credentials cannot be had from {asked}: {type(error).__name__}: {error}"
        ) from None
    if held is None or frozen is None:
        raise _not_found(profile, profiles, left_behind=left_behind)
    return StorageCredentials(
        frozen.access_key,
        frozen.secret_key,
        frozen.token,
        # Private, yet the only place where botocore says when a session ends.
        getattr(held, "_expiry_time", None),
        source=f"AWS profile or role ({held.method})",
    )


def _not_found(
    profile: str | None, profiles: list[str] | None, *, left_behind: bool
) -> SigningError:
    """Say where AWS credentials were looked for, and what to do."""
    looked = ["credentials given in code: they do not travel between processes"] * left_behind
    pushed = "the client does not answer" if STATE.pushed(PUSHED) else "nothing"
    looked.append(f"pushed by constellr_stac.share_credentials: {pushed}")
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
            f"{files}, SSO, roles: not looked at (pip install 'constellr-stac[aws]' to do so)"
        )
    else:
        looked += [
            f"profiles in {files}: {', '.join(profiles) or 'none'}",
            "web identity, container and instance roles: none",
        ]
    places = "\n".join(f"  - {place}" for place in looked)
    return SigningError(
        f"No AWS credentials for s3:// hrefs were found. Looked at:\n{places}\n"
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, if they are "
        f"temporary), or AWS_PROFILE.{push_hint()}"
    )
