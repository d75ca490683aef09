"""A figure with a PNG repr."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.backend_bases import RendererBase

_PASSES = 4
_FEW_AXES = 3
"""A map and its colour bars; many maps have room between them."""

__all__ = ["NotebookAxes", "NotebookFigure"]


class NotebookFigure(Figure):
    """A figure that notebooks show as an image, even if pyplot was never imported.

    Jupyter registers a formatter for matplotlib's own figures only when pyplot is imported.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Repeat the layout of a map until it settles, then draw.

        matplotlib measures the margins of axes of fixed proportions from a box that the layout
        changes, so that one pass clips labels (latitudes, single pixels).
        """
        engine = self.get_layout_engine()
        if engine is not None and len(self.axes) <= _FEW_AXES:
            for _ in range(_PASSES):
                engine.execute(self)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


class NotebookAxes(Axes):
    """Axes whose figure a notebook shows."""

    figure: NotebookFigure

    def _repr_png_(self) -> bytes:
        return self.figure._repr_png_()
