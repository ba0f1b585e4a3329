"""Lettering without font files: capitals, digits and care symbols as pen strokes, and typefaces as pens.

OpenCV's fonts change shape between its versions, and a machine may lack any other; strokes look the same everywhere.
They also blend: a typeface half-way to another is a typeface, which is how a font is substituted *slightly*.
"""

from dataclasses import dataclass, fields
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Coverage = NDArray[np.uint8]
"""How much of each pixel is inked: `(height, width)`, 0 to 255."""
Points = NDArray[np.float64]
"""A polyline: `(N, 2)`, x to the right and y downwards."""

FINE = 4
"""Strokes are drawn this many times finer than the artwork, then averaged."""

_CAP_HEIGHT = 8.0
# Strokes are separated by "|", points are "xy" on a grid 8 high. "(" opens a curve, "o" closes one: their points
# are corners that the curve rounds off. Lower case letters are care symbols: wash, bleach, dry, iron, clean.
_GLYPHS = {
    "A": "08 30 68|15 55",
    "B": "08 00|(00 50 54 04|(04 64 68 08",
    "C": "(62 60 00 08 68 66",
    "D": "08 00|(00 60 68 08",
    "E": "60 00 08 68|04 54",
    "F": "60 00 08|04 54",
    "G": "(62 60 00 08 68 64|64 34",
    "H": "00 08|60 68|04 64",
    "I": "10 18",
    "J": "(40 44 48 08 06",
    "K": "00 08|60 05|23 68",
    "L": "00 08 58",
    "M": "08 00 46 80 88",
    "N": "08 00 68 60",
    "O": "o00 60 68 08",
    "P": "08 00|(00 60 65 05",
    "Q": "o00 60 68 08|45 69",
    "R": "08 00|(00 60 64 04|34 68",
    "S": "(62 60 00 04 64 68 08 06",
    "T": "00 60|30 38",
    "U": "(00 05 08 68 65 60",
    "V": "00 38 60",
    "W": "00 28 41 68 80",
    "X": "00 68|60 08",
    "Y": "00 34 60|34 38",
    "Z": "00 60 08 68",
    "0": "o00 50 58 08",
    "1": "02 20 28",
    "2": "(02 00 50 54 08|08 58",
    "3": "(01 00 50 54 24|(24 54 58 08 07",
    "4": "48 40 06 56",
    "5": "50 00 03|(03 53 58 08 07",
    "6": "(40 00 05 06|o04 54 58 08",
    "7": "00 50 18",
    "8": "o00 50 54 04|o04 54 58 08",
    "9": "o00 50 54 04|(52 53 58 18",
    "-": "04 34",
    ".": "08 08",
    " ": "30 30",
    "w": "01 18 78 81|(02 20 44 60 82",
    "b": "08 41 88 08",
    "d": "00 80 88 08 00|o11 71 77 17",
    "i": "08 88 73 23|(23 05 08",
    "c": "o00 80 88 08",
}


@dataclass(frozen=True)
class Box:
    """A rectangle by its centre and size, in units of the label's longer side."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Typeface:
    """A pen and how it is led. Lengths are in units of the height of a capital."""

    weight: float = 0.14
    """Thickness of a stroke."""
    width: float = 1.0
    """Horizontal stretch of the letters."""
    contrast: float = 1.0
    """How much thicker upright strokes are than level ones."""
    slant: float = 0.0
    """Lean to the right."""
    serif: float = 0.0
    """Half the length of the bars at the ends of strokes."""
    roundness: float = 1.0
    """1 for oval curves, towards 0 for square ones."""

    def towards(self, other: "Typeface", share: float) -> "Typeface":
        """Return the typeface that lies `share` (0 to 1) of the way to another."""
        mixed = {f.name: (1 - share) * getattr(self, f.name) + share * getattr(other, f.name) for f in fields(self)}
        return Typeface(**mixed)


def _round_corners(points: Points, closed: bool, roundness: float) -> Points:
    """Cut corners three times (Chaikin, 1974); with a share below 1/4 a straight middle remains."""
    share = 0.25 * roundness
    for _ in range(3):
        following = np.roll(points, -1, axis=0) if closed else points[1:]
        previous = points if closed else points[:-1]
        cut = np.stack([(1 - share) * previous + share * following, share * previous + (1 - share) * following], axis=1)
        cut = cut.reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut, points[-1:]])
    return np.concatenate([points, points[:1]]) if closed else points


@lru_cache(maxsize=1024)
def _glyph(character: str, typeface: Typeface) -> tuple[tuple[Points, ...], float]:
    """Return a character's polylines and its advance, both in units of the cap height."""
    lines: list[Points] = []
    for stroke in _GLYPHS[character].split("|"):
        marker = stroke[0] if stroke[0] in "(o" else ""
        points = np.array(
            [(int(point[0]), int(point[1])) for point in stroke.removeprefix(marker).split(" ")], np.float64
        )
        if marker:
            points = _round_corners(points, marker == "o", typeface.roundness)
        lines.append(points / _CAP_HEIGHT)
        if typeface.serif and not marker:
            ends = [end for end in (points[0], points[-1]) if end[1] in (0, _CAP_HEIGHT)]
            lines += [end / _CAP_HEIGHT + typeface.serif * np.array([[-1, 0], [1, 0]]) for end in ends]
    advance = typeface.width * max(line[:, 0].max() for line in lines)
    skewed = tuple(line * (typeface.width, 1) + (0.5 - line[:, 1:]) * (typeface.slant, 0) for line in lines)
    return skewed, float(advance)


def stroke_layer(
    lines: list[Points], thickness: float, shape: tuple[int, int], *, contrast: float = 1.0, filled: bool = False
) -> Coverage:
    """Draw polylines (in artwork pixels) with a pen `thickness` pixels high and `contrast` times as wide.

    `shape` is the `(height, width)` of the result. With `filled`, the lines are the outlines of areas instead.
    """
    height, width = shape
    fine = np.zeros((FINE * height, max(1, round(FINE * width / contrast))), np.uint8)
    scale = np.array([fine.shape[1] / width, FINE])
    rounded = [np.rint(line * scale).astype(np.int32) for line in lines]
    if filled:
        cv2.fillPoly(fine, rounded, 255)
    else:
        cv2.polylines(fine, rounded, False, 255, max(1, round(FINE * thickness)))
    return np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@lru_cache(maxsize=256)
def text_layer(
    text: str,
    box: Box,
    typeface: Typeface,
    shape: tuple[int, int],
    *,
    tracking: float = 0.25,
    kerning: tuple[float, ...] = (),
) -> Coverage:
    """Letter one line, capitals as high as the box, centred in it whatever its length.

    `tracking` is the space after each letter, in cap heights; `kerning` adds to the space before each. Read-only.
    """
    cap = box.height * max(shape)
    lines: list[Points] = []
    pen = 0.0
    for i, character in enumerate(text):
        pen += kerning[i] if i < len(kerning) else 0.0
        strokes, advance = _glyph(character, typeface)
        lines += [line + np.array([pen, 0.0]) for line in strokes]
        pen += advance + tracking
    origin = np.array([box.x, box.y]) * max(shape) - 0.5 * cap * np.array([pen - tracking, 1.0])
    thickness = max(typeface.weight * cap / np.sqrt(typeface.contrast), 0.6)
    layer = stroke_layer([origin + cap * line for line in lines], thickness, shape, contrast=typeface.contrast)
    layer.setflags(write=False)
    return layer
