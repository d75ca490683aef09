"""Errors of the object store, with the codes, statuses and XML of AWS.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from xml.sax.saxutils import escape

__all__ = ["S3Error"]


class S3Error(Exception):
    """An error in S3's format; ``details`` are further XML elements."""

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self._elements = {"Code": code, "Message": message, **details}

    def xml(self, request_id: str) -> bytes:
        """Return the body of the answer."""
        elements = {**self._elements, "RequestId": request_id, "HostId": "sandbox"}
        inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in elements.items())
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
