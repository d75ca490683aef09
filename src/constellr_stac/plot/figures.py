"""Figures that a notebook shows by themselves."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure

__all__ = ["NotebookFigure"]


class NotebookFigure(Figure):
    """A figure that is a picture in a notebook, also if pyplot was never imported there.

    Jupyter learns to draw matplotlib's own figures from pyplot, and writes ``<Figure size …>``
    until then.
    """

    def _repr_png_(self) -> bytes:
        drawn = BytesIO()
        self.savefig(drawn, format="png")
        return drawn.getvalue()
