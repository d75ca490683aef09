"""A source of AWS credentials that looks them up again before they expire."""

from __future__ import annotations

import functools
import inspect
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from constellr_stac._process import STATE
from constellr_stac._refresh import Refreshing, utc_now
from constellr_stac.errors import SigningError

from .aws_credentials import PUSHED, StorageCredentials, from_botocore, from_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from constellr_stac._pushed import PushedValue

    Provider: TypeAlias = Callable[[], StorageCredentials | Mapping[str, Any]]
    Explicit: TypeAlias = StorageCredentials | Mapping[str, Any] | Provider

__all__ = ["CredentialSource"]

_LOOK_AGAIN = timedelta(minutes=15)  # at what has no end of its own, in a file that may change
_DISCARD_EVERY = timedelta(minutes=1)

_ON_THE_WAY = timedelta(seconds=4)
_TOO_SHORT = timedelta(seconds=3)  # to sign a URL that somebody can still use


class CredentialSource:
    """Finds AWS credentials, and again whenever they end; safe to share between threads.

    Looked at, in this order, as botocore does: what was given in code; a profile named in code;
    the environment (read again each time, so that a rotated one is noticed); then, with the
    extra ``aws``, the rest of botocore's chain: ``AWS_PROFILE`` and the profiles in
    ``~/.aws``, SSO, web identity, container and instance roles.

    On a dask worker, what :func:`constellr_stac.share_credentials` lends it comes before all
    these but what was given in code there and a callable that came along.

    It pickles without a secret: a callable
    and the profile's name travel, credentials given as a value stay behind.

    Args:
        explicit: Credentials, a dict of them as obstore uses it, or a callable that returns
            either; the callable is asked again before ``expires_at``.

    Keyword Args:
        profile: The name of an AWS profile.
        accepts_pushed: Whether credentials pushed by a dask client come first; by default if no
            profile is named.
        clock: Tells the time, aware.

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
            msg = "Give credentials or a profile, not both."
            raise ValueError(msg)
        self._ask: Provider | None = None
        self._value: StorageCredentials | None = None
        if callable(explicit):
            self._ask = explicit
        elif explicit is not None:
            self._value = StorageCredentials.of(explicit)
        self._profile = profile
        self._accepts_pushed = profile is None if accepts_pushed is None else accepts_pushed
        self._left_behind = False
        self._clock = clock
        self._discarded_at: datetime | None = None
        self._renewed = Refreshing(self._renew, self._ends, clock=clock)

    def get(self) -> StorageCredentials:
        """Return credentials that are good now.

        Raises:
            SigningError: There are none, and the message lists the places looked at; or those
                there are have ended, or cannot be renewed.
        """
        found = self._value or self._pushed_value()
        if found is None and self._ask is None and self._profile is None:
            found = from_environment()
        if found is None:
            found = self._renewed.get()
        if found.expires_at is not None and found.expires_at <= self._clock():
            raise SigningError(
                f"The AWS credentials ({found.source}) ended at "
                f"{found.expires_at:%Y-%m-%d %H:%M:%S %Z}. Put fresh ones in their place."
            )
        return found

    def discard(self, refused: StorageCredentials) -> None:
        """Look again next time: ``refused`` were not accepted, whatever their end says.

        That is heeded once a minute: a refusal can have other causes, and looking can be slow.
        Pushed ones are replaced by the dask client, which may take a moment.
        """
        pushed = self._pushed()
        if pushed is not None:
            pushed.other_than(refused)
            return
        now = self._clock()
        if self._discarded_at is None or now - self._discarded_at >= _DISCARD_EVERY:
            self._discarded_at = now
            self._renewed.discard(refused)

    def own(self) -> Self:
        """Return the same without pushed credentials, to share them with workers.

        Its clock is a few seconds ahead, so that the credentials are still good on arrival.
        """
        given = self._ask or self._value
        clock = functools.partial(_ahead, self._clock)
        return type(self)(given, profile=self._profile, accepts_pushed=False, clock=clock)

    def __repr__(self) -> str:
        if self._value is not None:
            return f"CredentialSource({self._value!r})"
        if self._ask is not None:
            return f"CredentialSource({self._ask!r})"
        return f"CredentialSource(profile={self._profile!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CredentialSource):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        left_behind = self._left_behind or self._value is not None
        return {"ask": self._ask, "profile": self._profile, "left_behind": left_behind}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        # What is lent comes before a profile's name: profiles stay on their machine.
        self.__init__(state["ask"], profile=state["profile"], accepts_pushed=True)  # type: ignore[misc]
        self._left_behind = state["left_behind"]

    def _identity(self) -> tuple[Any, ...]:
        return self._value, self._ask, self._profile, self._left_behind

    def _pushed(self) -> PushedValue[StorageCredentials] | None:
        given = self._value is not None or self._ask is not None
        return STATE.pushed(PUSHED) if self._accepts_pushed and not given else None

    def _pushed_value(self) -> StorageCredentials | None:
        """Return the credentials that the dask client pushes; newer ones if they are expiring."""
        pushed = self._pushed()
        value = None if pushed is None else pushed.get()
        if pushed is None or value is None or value.expires_at is None:
            return value
        if self._clock() + _TOO_SHORT < value.expires_at:
            return value
        return pushed.other_than(value) or value

    def _renew(self) -> StorageCredentials:
        if self._ask is not None:
            return _from_callable(self._ask)
        return from_botocore(self._profile, left_behind=self._left_behind)

    def _ends(self, found: StorageCredentials) -> datetime | None:
        if found.expires_at is None and self._ask is None:
            return self._clock() + _LOOK_AGAIN
        return found.expires_at


def _ahead(clock: Callable[[], datetime]) -> datetime:
    return clock() + _ON_THE_WAY


def _from_callable(ask: Provider) -> StorageCredentials:
    try:
        answer = ask()
        if inspect.iscoroutine(answer):
            answer.close()
            msg = "it is asynchronous; give a plain function"
            raise TypeError(msg)  # noqa: TRY301 - one place says what went wrong
        return StorageCredentials.of(answer)
    except Exception as error:
        # A ValueError and a TypeError are ours or about form; others might quote a secret.
        why = f": {error}" if isinstance(error, ValueError | TypeError) else ""
        raise SigningError(
            f"The callable that gives AWS credentials failed with {type(error).__name__}{why}."
        ) from error
