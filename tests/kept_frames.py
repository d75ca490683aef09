"""What the frames of an error hold, as tools show that print or send local variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import types
    from collections.abc import Iterator

_DEPTH = 4


def frames_with(error: BaseException, secret: str) -> list[str]:
    """Return the local variables, in frames of this error and its causes, that hold a secret."""
    found: list[str] = []
    for each in _chain(error):
        traceback = each.__traceback__
        while traceback is not None:
            found += _variables_with(traceback.tb_frame, secret)
            traceback = traceback.tb_next
    return found


def _chain(error: BaseException) -> Iterator[BaseException]:
    left, seen = [error], set()
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [each for each in (one.__cause__, one.__context__) if each is not None]


def _variables_with(frame: types.FrameType, secret: str) -> Iterator[str]:
    if "/tests/" in frame.f_code.co_filename or "pytest" in frame.f_code.co_filename:
        return
    for name, value in list(frame.f_locals.items()):
        if _holds(value, secret, _DEPTH):
            yield f"{frame.f_code.co_filename}:{frame.f_lineno} {name}"


def _holds(value: Any, secret: str, depth: int) -> bool:
    """Return whether a value shows a secret, in its repr or in its attributes' reprs."""
    if secret in _shown(value):
        return True
    if depth == 0:
        return False
    if isinstance(value, dict):
        return any(_holds(each, secret, depth - 1) for each in list(value.values())[:50])
    if isinstance(value, list | tuple | set):
        return any(_holds(each, secret, depth - 1) for each in list(value)[:50])
    if type(value).__module__.startswith("requests."):  # what reprs of requests leave out
        return any(_holds(each, secret, depth - 1) for each in list(vars(value).values()))
    return False


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - the laws of reprs are tested elsewhere
        return ""
