"""What all figures of the report share: colours, one drawing for light and one for dark pages, pictures as data URIs.

Drawn on matplotlib's ``Figure`` itself, without pyplot and its global state; the same input gives the same bytes.
"""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from counterfeit.errors import UserError

# Inches; a phone shows a tenth less. Narrower, the longest name of an audit's finding would run into its numbers.
WIDTH = 3.8
_MAX_SIDE = 900


class Palette(NamedTuple):
    """Colours told apart by the colour-blind; green and red also differ in lightness."""

    ink: str
    muted: str
    grid: str
    better: str
    worse: str
    second: str


LIGHT = Palette("#1d232b", "#5b6672", "#d9dee4", "#0b6e5d", "#b3261e", "#8a5a00")
DARK = Palette("#e8ecf1", "#9aa6b2", "#39424d", "#4fd1b5", "#ff8a7a", "#f0b95a")
_IN_THE_DARK = dict(zip(LIGHT, DARK, strict=True))


class Drawing(NamedTuple):
    """One figure as two data URIs.

    Attributes:
        light: for light pages.
        dark: for dark pages.
        alt: the words that stand in for it.
        caption: what stands behind it.
    """

    light: str
    dark: str
    alt: str
    caption: str = ""


def both(draw: Callable[[Palette], Figure], alt: str, caption: str = "") -> Drawing:
    """Draw a figure and colour it anew for dark pages.

    It is drawn once: what takes time is not the colours.

    Args:
        draw: gives the figure in the colours of a palette.
        alt: its numbers in words.
        caption: what stands behind it.
    """
    light = _svg(draw)
    dark = re.sub("|".join(LIGHT), lambda color: _IN_THE_DARK[color[0]], light)
    return Drawing(_svg_uri(light), _svg_uri(dark), alt, caption)


def image_uri(path: Path, quality: int = 85) -> str:
    """Return a picture as a data URI, as JPEG and no larger than a page shows it; ``UserError`` if there is none."""
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except OSError as error:
        raise UserError(f"{path} is no picture: remove it and run the stage that draws it again") from error
    picture.thumbnail((_MAX_SIDE, _MAX_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=quality)
    return _uri(buffer.getvalue(), "image/jpeg")


def style(axes: Any, palette: Palette) -> None:
    """Quiet axes: no frame, small labels in the muted colour."""
    axes.set_facecolor("none")
    axes.tick_params(colors=palette.muted, labelsize=8.5, length=3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_size(8.5)
        axis.label.set_color(palette.muted)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(palette.grid)


def _svg(draw: Callable[[Palette], Figure]) -> str:
    buffer = io.StringIO()
    # The salt replaces random ids, and no date is written: the same numbers give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "counterfeit", "font.family": "DejaVu Sans"}):
        draw(LIGHT).savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _svg_uri(svg: str) -> str:
    return _uri(svg.encode(), "image/svg+xml")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
