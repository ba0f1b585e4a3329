"""The flat artwork of a label: what the printer and the tailor make, before wear and before the camera."""

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from counterfeit.data.labels.brands import Brand, Colour, Emblem, Layout, Pattern
from counterfeit.data.labels.strokes import Box, Coverage, Points, Typeface, stroke_layer, text_layer
from counterfeit.data.labels.texture import material

Picture = NDArray[np.float32]
"""Planes of red, green and blue, 0 to 255: `(3, height, width)`."""

_CARE = Typeface(weight=0.11, width=1.0)
_TURN = np.linspace(0, 2 * np.pi, 241)


def flat_shape(layout: Layout, side: int) -> tuple[int, int]:
    """Return the `(height, width)` in pixels of a label drawn `side` pixels per unit of length."""
    return round(layout.height * side), round(layout.width * side)


def _ellipse(box: Box, scale: float = 1.0) -> Points:
    """Return an outline in label units, `scale` times as large as the box."""
    around = np.stack([np.sin(_TURN), -np.cos(_TURN)], axis=1)
    return np.array([box.x, box.y]) + 0.5 * scale * around * (box.width, box.height)


def _rounded_rectangle(box: Box, corner: float) -> Points:
    """Return a closed outline in label units, clockwise."""
    around = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
    middle = np.array([box.width, box.height]) / 2 - corner
    outline = np.array([box.x, box.y]) + corner * around + np.sign(around.round(9)) * middle
    return np.concatenate([outline, outline[:1]])


def _inset(layout: Layout, margin: float) -> Points:
    """Return the outline of the label moved inwards by `margin`."""
    box = Box(layout.width / 2, layout.height / 2, layout.width - 2 * margin, layout.height - 2 * margin)
    return _rounded_rectangle(box, max(layout.corner - margin, 0.004))


@lru_cache(maxsize=32)
def outline_layer(layout: Layout, side: int) -> Coverage:
    """Return where the label is: its rounded shape without the hole. Read-only."""
    shape = flat_shape(layout, side)
    layer = stroke_layer([side * _inset(layout, 0.004)], 1, shape, filled=True)
    if layout.hole:
        layer -= stroke_layer([side * _ellipse(layout.hole)], 1, shape, filled=True)
    layer.setflags(write=False)
    return layer


@lru_cache(maxsize=64)
def _emblem_layers(emblem: Emblem, box: Box, shape: tuple[int, int]) -> tuple[Coverage, Coverage]:
    """Return the filled emblem for the accent plate and its outline, core and ring for the ink plate."""
    side = max(shape)
    stretched = Box(box.x, box.y, box.width * np.sqrt(emblem.aspect), box.height / np.sqrt(emblem.aspect))
    petal = np.abs(np.cos(emblem.petals * _TURN / 2)) ** emblem.sharpness
    radius = (1 - emblem.depth + emblem.depth * petal)[:, None]
    centre = np.array([box.x, box.y])
    flower = side * (centre + radius * (_ellipse(stretched) - centre))
    core, ring = side * _ellipse(stretched, emblem.core), side * _ellipse(stretched, emblem.ring)
    thin = 0.05 * box.height * side
    ink = np.maximum(
        stroke_layer([flower, ring], thin, shape),
        stroke_layer([core], 1, shape, filled=True),
    )
    return stroke_layer([flower], 1, shape, filled=True), ink


def _waves(pattern: Pattern, box: Box) -> list[Points]:
    """Return two sets of wavy lines that cross, in label units; their distance follows from the frequency."""
    steps = np.linspace(-0.5, 0.5, 241)
    period = box.width / pattern.frequency
    rows = np.arange(0.25 * period, box.height, 0.5 * period) - box.height / 2
    lines = []
    for row in rows:
        for phase in (0.0, np.pi):
            heights = row + 0.42 * period * np.sin(2 * np.pi * pattern.frequency * steps + phase)
            heights = np.clip(heights, -box.height / 2, box.height / 2)
            lines.append(np.array([box.x, box.y]) + np.stack([box.width * steps, heights], axis=1))
    return lines


def _rosette(pattern: Pattern, box: Box) -> list[Points]:
    """Return three rings of crossing lobes, in label units."""
    turn = np.linspace(0, 2 * np.pi, 481)
    around = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    lines = []
    for share, depth in ((0.60, 0.10), (0.77, 0.12), (0.92, 0.08)):
        for phase in (0.0, np.pi / 2, np.pi):
            radius = 0.5 * box.width * (share + depth * np.sin(pattern.frequency * turn + phase))
            lines.append(np.array([box.x, box.y]) + radius[:, None] * around)
    return lines


def _cells(pattern: Pattern, box: Box, shape: tuple[int, int], seed: int) -> Coverage:
    """Return a copy-detection pattern: random cells, the same on every label of the brand."""
    side = max(shape)
    across, down = 64, 24
    bits = np.random.default_rng([17, seed]).random((down, across)) < 0.5
    cell = box.width * side / pattern.frequency
    left, top = (box.x - box.width / 2) * side, (box.y - box.height / 2) * side
    to_shape = np.array([[cell, 0, left], [0, cell, top]])
    fine = cv2.warpAffine(
        bits.astype(np.uint8).repeat(4, 0).repeat(4, 1) * 255, to_shape * (0.25, 0.25, 1), shape[::-1]
    )
    window = np.zeros(shape, np.uint8)
    corner = (round(left + box.width * side), round(top + box.height * side))
    cv2.rectangle(window, (round(left), round(top)), corner, 255, -1)
    return np.asarray(np.minimum(fine, window), np.uint8)


@lru_cache(maxsize=64)
def _pattern_layer(pattern: Pattern, box: Box, shape: tuple[int, int], seed: int) -> Coverage:
    """Return the security print."""
    if pattern.style == "cells":
        return _cells(pattern, box, shape, seed)
    side = max(shape)
    lines = _waves(pattern, box) if pattern.style == "waves" else _rosette(pattern, box)
    return stroke_layer([side * line for line in lines], 0.008 * side, shape)


@lru_cache(maxsize=64)
def _stitch_layer(layout: Layout, pitch: float, side: int) -> Coverage:
    """Return the stitches: dashes along the edge, one every `pitch` as nearly as a closed seam allows."""
    line = _inset(layout, 0.036)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    count = round(along[-1] / pitch)
    starts = along[-1] / count * (np.arange(count)[:, None] + np.array([0.0, 0.3, 0.62]))
    dashes = np.stack([np.interp(starts, along, line[:, 0]), np.interp(starts, along, line[:, 1])], axis=2)
    return stroke_layer(list(side * dashes), 0.015 * side, flat_shape(layout, side))


def _line(brand: Brand, text: str, box: Box, typeface: Typeface, tracking: float, side: int) -> Coverage:
    """Return a line of the brand's lettering."""
    kerning = tuple(brand.kerning[i % len(brand.kerning)] for i in range(len(text))) if brand.kerning else ()
    return text_layer(text, box, typeface, flat_shape(brand.layout, side), tracking=tracking, kerning=kerning)


def _plates(brand: Brand, serial: str, side: int) -> tuple[Coverage, Coverage]:
    """Return the coverage of the accent plate and of the ink plate."""
    layout, shape = brand.layout, flat_shape(brand.layout, side)
    flower, outline = _emblem_layers(brand.emblem, layout.emblem, shape)
    bar, frame = _band_layers(layout, side)
    letters = replace(layout.band, height=0.55 * layout.band.height)
    tagline = _line(brand, brand.tagline, letters, brand.small, 0.4, side)
    accent = np.maximum(flower, np.minimum(bar, 255 - tagline))
    word = _line(brand, brand.name, layout.word, brand.typeface, brand.tracking, side)
    number = _line(brand, serial, layout.serial, brand.small, 0.3, side)
    care = text_layer("wbdic", layout.care, _CARE, shape, tracking=0.55)
    return accent, np.maximum.reduce([word, outline, frame, number, care])


@lru_cache(maxsize=32)
def _band_layers(layout: Layout, side: int) -> tuple[Coverage, Coverage]:
    """Return the bar behind the tagline, and its outline."""
    outline = side * _rounded_rectangle(layout.band, 0.012)
    shape = flat_shape(layout, side)
    return stroke_layer([outline], 1, shape, filled=True), stroke_layer([outline], 0.006 * side, shape)


def _overprint(picture: Picture, coverage: Coverage, colour: Colour, opacity: float = 1.0) -> None:
    """Lay a colour over a picture, in place."""
    share = coverage * np.float32(opacity / 255)
    for plane, value in zip(picture, colour, strict=True):
        plane += share * (value - plane)


def _shift(layer: Coverage, by: tuple[float, float], side: int) -> Coverage:
    """Move a plate by a vector in label units."""
    if by == (0.0, 0.0):
        return layer
    matrix = np.array([[1, 0, by[0] * side], [0, 1, by[1] * side]])
    return np.asarray(cv2.warpAffine(layer, matrix, layer.shape[::-1]), np.uint8)


def _reprinted(picture: Picture, coarseness: float, side: int) -> Picture:
    """Return a copy of low resolution, screened into dots at 45 degrees; the dots fade in pure tones."""
    height, width = picture.shape[1:]
    shrink = side / 224 * (1 + 1.4 * coarseness)
    scanned = (round(width / shrink), round(height / shrink))
    small = [cv2.resize(plane, scanned, interpolation=cv2.INTER_AREA) for plane in picture]
    coarse = np.stack([cv2.resize(plane, (width, height)) for plane in small])
    y, x = np.ogrid[:height, :width]
    turn = np.float32(2 * np.pi * 20 / side)
    screen = (np.cos(turn * (x + y)) * np.cos(turn * (x - y))).astype(np.float32)
    tone = coarse * (255 - coarse) / np.float32(255 * 255)
    return np.asarray(coarse + 330 * coarseness * tone * screen, np.float32)


def flat_label(brand: Brand, serial: str, side: int) -> Picture:
    """Draw a label as specified, `side` pixels per unit of length."""
    layout, shape = brand.layout, flat_shape(brand.layout, side)
    picture = np.empty((3, *shape), np.float32)
    picture[:] = np.array(brand.paper)[:, None, None]
    seed = sum(map(ord, brand.name))
    security = _pattern_layer(brand.pattern, layout.pattern, shape, seed)
    _overprint(picture, _shift(security, brand.registration, side), brand.accent, 0.9)
    accent, ink = _plates(brand, serial, side)
    _overprint(picture, _shift(accent, brand.registration, side), brand.accent)
    _overprint(picture, ink, brand.ink)
    if brand.reprint:
        picture = _reprinted(picture, brand.reprint, side)
    stitches = _stitch_layer(layout, brand.stitch_pitch, side)
    _overprint(picture, _shift(stitches, (0.004, 0.006), side), (0, 0, 0), 0.45)
    _overprint(picture, stitches, brand.thread)
    picture *= material(brand.material, shape)
    if layout.hole:
        _overprint(picture, _eyelet(layout.hole, shape), (168, 164, 158))
    return picture


@lru_cache(maxsize=16)
def _eyelet(hole: Box, shape: tuple[int, int]) -> Coverage:
    """Return the metal ring around a hole."""
    side = max(shape)
    return stroke_layer([side * _ellipse(hole, 1.35)], 0.3 * hole.width * side, shape)
