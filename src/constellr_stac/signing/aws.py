"""A source of AWS credentials that renews them before they expire."""

from __future__ import annotations

import functools
import inspect
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from constellr_stac._process import STATE
from constellr_stac._pushed import advice_for
from constellr_stac._refresh import Refreshing, utc_now
from constellr_stac._secret import SharedOnCopy
from constellr_stac.config import aws_files
from constellr_stac.errors import SigningError

from .aws_credentials import PUSHED, StorageCredentials, from_botocore, from_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from constellr_stac._pushed import Owner, PushedValue

    Provider: TypeAlias = Callable[[], StorageCredentials | Mapping[str, Any]]
    Explicit: TypeAlias = StorageCredentials | Mapping[str, Any] | Provider

__all__ = ["CredentialSource"]

_SEARCH_EVERY = timedelta(minutes=15)  # for credentials without expiry, whose file may change
_DISCARD_EVERY = timedelta(minutes=1)
_DISCARD_CHANGED_EVERY = timedelta(seconds=1)

_TRANSFER_TIME = timedelta(seconds=4)
_MIN_REMAINING = timedelta(seconds=3)  # less is too short to sign a usable URL


class CredentialSource(SharedOnCopy):
    """Finds AWS credentials and renews them before they expire; thread-safe.

    Searches in botocore's order: credentials given in code; a profile named in code; the
    environment (read each time, so that rotated keys are noticed); then, with the extra ``aws``,
    the rest of botocore's chain: ``AWS_PROFILE`` and the profiles in ``~/.aws``, SSO, web
    identity, container and instance roles.

    On a dask worker, credentials pushed by :func:`constellr_stac.share_credentials` take
    precedence over all of these, except credentials given in code there and a pickled callable.

    It pickles without a secret: a callable and the profile's name are pickled, credentials given
    as a value are not.

    Args:
        explicit: Credentials, a dict as in obstore, or a callable that returns either; the
            callable is called again before ``expires_at``.

    Keyword Args:
        profile: The name of an AWS profile.
        accepts_pushed: Whether credentials pushed by a dask client take precedence; default if
            no profile is named.
        clock: Returns the current time, aware.

    Raises:
        ValueError: Both are given, or the credentials are incomplete.
    """

    def __init__(
        self,
        explicit: Explicit | None = None,
        *,
        profile: str | None = None,
        accepts_pushed: bool | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if explicit is not None and profile is not None:
            msg = "Pass credentials or a profile, not both."
            raise ValueError(msg)
        self._provider: Provider | None = None
        self._value: StorageCredentials | None = None
        if callable(explicit):
            self._provider = explicit
        elif explicit is not None:
            self._value = StorageCredentials.of(explicit)
        self._profile = profile
        self._accepts_pushed = profile is None if accepts_pushed is None else accepts_pushed
        self._not_pickled = False
        self.owner: Owner | None = None
        """Whose graph it came with to this process."""
        self._clock = clock
        self._discarded_at: datetime | None = None
        self._refused: tuple[StorageCredentials, tuple[tuple[str, int], ...]] | None = None
        self._renewed = Refreshing(self._renew, self._expiry_of, clock=clock)

    def get(self) -> StorageCredentials:
        """Return credentials that have not expired.

        Raises:
            SigningError: None were found (the message lists the places searched), or they have
                expired or cannot be renewed.
        """
        found = self._value or self._pushed_value()
        if found is None and self._provider is None and self._profile is None:
            found = from_environment()
        if found is None:
            found = self._renewed.get()
        if found.expires_at is not None and found.expires_at <= self._clock():
            raise SigningError(
                f"The AWS credentials ({found.source}) expired at "
                f"{found.expires_at:%Y-%m-%d %H:%M:%S %Z}"
                f"{advice_for(self._pushed(), 'Renew them.')}"
            )
        return found

    def discard(self, refused: StorageCredentials) -> None:
        """Search again at the next :meth:`get`, since ``refused`` were not accepted.

        Credentials that are refused again are not searched for within a minute: a refusal can have
        other causes, and a search can be slow. Others, and changed files of AWS profiles, are not
        within a second. For pushed credentials, waits for the dask client to replace them.
        """
        pushed = self._pushed()
        if pushed is not None:
            pushed.other_than(refused)
            return
        now, files = self._clock(), aws_files()
        # Other keys than those refused last have been refused, or a file has changed.
        changed = self._refused != (refused, files)
        often = changed or self._provider is not None
        pause = _DISCARD_CHANGED_EVERY if often else _DISCARD_EVERY
        if self._discarded_at is None or now - self._discarded_at >= pause:
            self._discarded_at, self._refused = now, (refused, files)
            self._renewed.discard(refused)

    def own(self) -> Self:
        """Return a copy that ignores pushed credentials, to share its credentials with workers.

        Its clock is a few seconds ahead, so that the credentials are still valid on arrival.
        """
        given = self._provider or self._value
        clock = functools.partial(_ahead, self._clock)
        return type(self)(given, profile=self._profile, accepts_pushed=False, clock=clock)

    def __repr__(self) -> str:
        if self._value is not None:
            return f"CredentialSource({self._value!r})"
        if self._provider is not None:
            return f"CredentialSource({self._provider!r})"
        return f"CredentialSource(profile={self._profile!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CredentialSource):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __getstate__(self) -> dict[str, Any]:
        not_pickled = self._not_pickled or self._value is not None
        return {
            "ask": self._provider,
            "profile": self._profile,
            "not_pickled": not_pickled,
            "owner": self.owner,
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        # Pushed credentials precede a profile's name: profiles belong to another machine.
        self.__init__(state["ask"], profile=state["profile"], accepts_pushed=True)  # type: ignore[misc]
        self._not_pickled, self.owner = state["not_pickled"], state["owner"]

    def _identity(self) -> tuple[Any, ...]:
        return self._value, self._provider, self._profile, self._not_pickled

    def _pushed(self) -> PushedValue[StorageCredentials] | None:
        given = self._value is not None or self._provider is not None
        if given or not self._accepts_pushed:
            return None
        pushed: PushedValue[StorageCredentials] | None = STATE.pushed(PUSHED, self.owner)
        return pushed

    def _pushed_value(self) -> StorageCredentials | None:
        """Return the pushed credentials; wait for newer ones if they are about to expire."""
        pushed = self._pushed()
        value = None if pushed is None else pushed.get()
        if pushed is None or value is None or value.expires_at is None:
            return value
        if self._clock() + _MIN_REMAINING < value.expires_at:
            return value
        return pushed.other_than(value) or value

    def _renew(self) -> StorageCredentials:
        if self._provider is not None:
            return _from_callable(self._provider)
        return from_botocore(self._profile, not_pickled=self._not_pickled, owner=self.owner)

    def _expiry_of(self, found: StorageCredentials) -> datetime | None:
        if found.expires_at is None and self._provider is None:
            return self._clock() + _SEARCH_EVERY
        return found.expires_at


def _ahead(clock: Callable[[], datetime]) -> datetime:
    return clock() + _TRANSFER_TIME


def _from_callable(ask: Provider) -> StorageCredentials:
    try:
        answer = ask()
        if inspect.iscoroutine(answer):
            answer.close()
            msg = "it is asynchronous; pass a plain function"
            raise TypeError(msg)  # noqa: TRY301 - reported below
        return StorageCredentials.of(answer)
    except Exception as error:
        # ValueError and TypeError are about the form; other messages might quote a secret.
        why = f": {error}" if isinstance(error, ValueError | TypeError) else ""
        raise SigningError(
            f"The callable for AWS credentials failed with {type(error).__name__}{why}."
        ) from error
