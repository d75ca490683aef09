"""The credentials of this process, as they are pushed to workers."""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from constellr_stac._refresh import utc_now
from constellr_stac.auth.credentials import ApiKey
from constellr_stac.errors import (
    APIConnectionError,
    ConstellrError,
    CredentialsNotSharedWarning,
    RateLimitError,
    ServerError,
    SigningError,
)
from constellr_stac.signing.aws import CredentialSource
from constellr_stac.signing.signer import Signer

from .messages import PushMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from constellr_stac.auth.credentials import Token
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.signing.aws import Explicit
    from constellr_stac.signing.aws_credentials import StorageCredentials

    from .messages import Pushable

__all__ = ["CredentialFeed", "api_feed", "s3_feed"]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_NONE_HOLDS = 30.0  # half of what workers cache it for
_TRANSIENT = (APIConnectionError, RateLimitError, ServerError)


class CredentialFeed:
    """One credential of this process, as pushed to the workers.

    Args:
        look: Returns the current credential, renewed if due.
        discard: Drops a refused one, if there may be another.

    Keyword Args:
        none_holds: Seconds without another attempt after a failed renewal, since all workers
            report the same refusal.

    Raises:
        ConstellrError: There is no credential.
    """

    def __init__(
        self,
        look: Callable[[], Pushable],
        discard: Callable[[Any], object] | None = None,
        *,
        none_holds: float = _NONE_HOLDS,
    ) -> None:
        self._look = look
        self._discard = discard
        self._none_holds = none_holds
        self.message = PushMessage(look(), 1)
        self.failures = 0
        self._transient = False
        self._none_until = 0.0

    def renewed(self) -> bool:
        """Fetch the credential again; return whether it changed."""
        try:
            value = self._look()
        except (ConstellrError, ValueError) as error:
            self.failures += 1
            self._transient = isinstance(error, _TRANSIENT)
            trouble = str(error).partition("\n")[0]
            self.message = replace(self.message, trouble=trouble)
            return False
        self.failures, self._transient = 0, False
        if value == self.message.value:
            self.message = replace(self.message, trouble="")
            return False
        self.message = PushMessage(value, self.message.number + 1)
        self._none_until = 0.0  # applied to the previous value
        return True

    def replace_refused(self, number: int) -> None:
        """Replace the value if the refused one is current; record if there is no other.

        Nothing is recorded while the API is unreachable: workers wait, and the client retries.
        """
        if number == self.message.number and time.monotonic() >= self._none_until:
            if self._discard is not None:
                self._discard(self.message.value)
            if not self.renewed() and not self._transient:
                self.message = replace(self.message, last=number)
                self._none_until = time.monotonic() + self._none_holds

    @property
    def pause(self) -> float:
        """Seconds until the next renewal check: a twentieth of the remaining lifetime."""
        expires_at = getattr(self.message.value, "expires_at", None)
        left: float = (
            _LONGEST_PAUSE if expires_at is None else (expires_at - utc_now()).total_seconds() / 20
        )
        backoff = (1 << min(self.failures, 5)) - 1
        return min(max(left, _SHORTEST_PAUSE, backoff), _LONGEST_PAUSE)


def api_feed(own: ConstellrAuth, *, send_credential: bool) -> CredentialFeed:
    """Return the feed of an API credential: its tokens, or the credential itself.

    Raises:
        ValueError: It is an API key, and is not to be sent.
    """
    if send_credential:
        return CredentialFeed(lambda: own.credential)
    if isinstance(own.credential, ApiKey):
        raise ValueError(  # noqa: TRY004 - the type is right, the choice is not
            f"An API key ({own.credential.source}) has no token to share. Pass "
            "send_credential=True to send the key itself, use a user name and password, or pass "
            "auth=False."
        )
    # Only an API key has no token.
    return CredentialFeed(lambda: cast("Token", own.token()), own.discard)


def s3_feed(
    aws: Signer | Explicit | Literal[False] | None, *, send_credential: bool
) -> CredentialFeed | None:
    """Return the feed of AWS credentials, if there are any to share.

    Raises:
        SigningError: The requested credentials are unavailable.
        ValueError: The requested credentials do not expire, and are not to be sent.
    """
    named = os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE")
    if aws is False or (aws is None and not named):
        return None
    source = (aws.credentials if isinstance(aws, Signer) else CredentialSource(aws)).own()

    def fetch() -> StorageCredentials:
        found = source.get()
        if found.token is None and not send_credential:
            raise _LongLivedError(
                f"The AWS credentials ({found.source}) do not expire, so they are not shared. "
                "Pass temporary ones (of a role, or of `aws sts get-session-token`), "
                "send_credential=True, or aws=False if none are needed."
            )
        return found

    try:
        return CredentialFeed(fetch, source.discard)
    except (_LongLivedError, SigningError) as error:
        if aws is not None:
            raise
        warnings.warn(str(error), CredentialsNotSharedWarning, stacklevel=3)
        return None


class _LongLivedError(ValueError):
    """AWS credentials that do not expire."""
