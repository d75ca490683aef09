"""Changes of JSON documents, one at a time: what a careless or hostile server could send."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str | int, ...]

_MARK = "<here>"
_VALUES = {
    "null": "null",
    "true": "true",
    "number": "-7",
    "zero": "0",
    "fraction": "0.5",
    "text": '"x"',
    "empty text": '""',
    "list": "[1]",
    "empty list": "[]",
    "list of null": "[null]",
    "object": '{"a": 1}',
    "empty object": "{}",
    "NaN": "NaN",
    "infinite": "-Infinity",
    "huge integer": "9" * 400,
    "longer than Python parses": "9" * 5000,
    "huge text": json.dumps("x" * 100_000),
    "deep": "[" * 500 + "]" * 500,
    "too deep": "[" * 5000 + "]" * 5000,
    "control characters": json.dumps("a\x1b[2J\r\n\x00\u202e\x9b1m"),
    "lone surrogate": '"\\ud800"',
    "path": '"/etc/passwd"',
    "URL of a file": '"file:///etc/passwd"',
    "foreign URL": '"http://127.0.0.1:9/x"',
    "bad URL": '"http://[::1"',
}


def mutations(document: Any) -> Iterator[tuple[str, str]]:
    """Yield what was changed, and the changed document as text.

    Each field is dropped, doubled and replaced, one at a time.
    """
    for path in _paths(document):
        where = "/".join(map(str, path))
        parent, key = _at(document, path[:-1]), path[-1]
        changed = copy.deepcopy(document)
        del _at(changed, path[:-1])[key]
        yield f"{where}: dropped", json.dumps(changed)
        marked = copy.deepcopy(document)
        _at(marked, path[:-1])[key] = _MARK
        text = json.dumps(marked)
        for name, value in _VALUES.items():
            yield f"{where}: {name}", text.replace(f'"{_MARK}"', value)
        if isinstance(parent, dict):
            own = f"{json.dumps(parent[key])}, {json.dumps(key)}: null"
            yield f"{where}: doubled", text.replace(f'"{_MARK}"', own)


def _paths(document: Any, path: Path = ()) -> Iterator[Path]:
    children: Any = ()
    if isinstance(document, dict):
        children = document.items()
    elif isinstance(document, list):
        children = list(enumerate(document))[:2]  # the others are like them
    for key, child in children:
        yield (*path, key)
        yield from _paths(child, (*path, key))


def _at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document
