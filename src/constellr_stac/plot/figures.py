"""A figure with a PNG repr."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure

__all__ = ["NotebookFigure"]


class NotebookFigure(Figure):
    """A figure that notebooks show as an image, even if pyplot was never imported.

    Jupyter registers a formatter for matplotlib's own figures only when pyplot is imported.
    """

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
