"""How counterfeits deviate: each kind takes a brand's specification to one that breaks it."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from counterfeit.data.labels.artwork import Picture
from counterfeit.data.labels.brands import STOCK_TYPEFACE, Brand, Colour

Deviation = Callable[[Brand, float, np.random.Generator], Brand]
"""Takes a specification, a severity in (0, 1] and a generator for whatever the severity leaves open."""


def _span(severity: float, least: float, most: float) -> float:
    """Return an amount between barely visible and plain."""
    return least + (most - least) * severity


def _font(brand: Brand, severity: float, rng: np.random.Generator) -> Brand:
    """Letter in typefaces on the way to the one that the counterfeiter has in stock."""
    share = _span(severity, 0.15, 0.74)
    name, small = brand.typeface.towards(STOCK_TYPEFACE, share), brand.small.towards(STOCK_TYPEFACE, share)
    return replace(brand, typeface=name, small=small)


def _kerning(brand: Brand, severity: float, rng: np.random.Generator) -> Brand:
    """Set the letters unevenly, some apart and some together."""
    gaps = rng.permutation(np.linspace(-0.5, 1.0, len(brand.name) - 1)) * _span(severity, 0.07, 0.41)
    return replace(brand, kerning=(0.0, *map(float, gaps)))


def _cheaper(colour: Colour, paper: Colour, severity: float, hue: NDArray[np.float64]) -> Colour:
    """Return a colour paler on its paper, and off in hue."""
    paler = np.array(colour) + _span(severity, 0.06, 0.33) * (np.array(paper, float) - np.array(colour))
    red, green, blue = (paler + _span(severity, 6, 27) * hue).clip(0, 255).round().astype(int)
    return int(red), int(green), int(blue)


def _ink(brand: Brand, severity: float, rng: np.random.Generator) -> Brand:
    """Print both plates in cheaper inks, which fade and miss the hue."""
    hue = rng.normal(size=3)
    hue -= hue.mean()
    hue /= np.linalg.norm(hue)
    ink, accent = (_cheaper(colour, brand.paper, severity, hue) for colour in (brand.ink, brand.accent))
    return replace(brand, ink=ink, accent=accent)


def _misregistration(brand: Brand, severity: float, rng: np.random.Generator) -> Brand:
    """Shift the accent plate against the ink plate."""
    angle = rng.uniform(0, 2 * np.pi)
    distance = _span(severity, 0.005, 0.031)
    return replace(brand, registration=(float(distance * np.cos(angle)), float(distance * np.sin(angle))))


def _reprint(brand: Brand, severity: float, rng: np.random.Generator) -> Brand:
    """Reproduce the print from a scan of low resolution, in halftone."""
    return replace(brand, reprint=_span(severity, 0.15, 0.74))


def _emblem(brand: Brand, severity: float, rng: np.random.Generator) -> Brand:
    """Redraw the emblem from memory: too wide, its core too large, its petals too shallow."""
    emblem = brand.emblem
    redrawn = replace(
        emblem,
        aspect=1 + _span(severity, 0.05, 0.36),
        core=emblem.core * (1 + _span(severity, 0.08, 0.58)),
        depth=emblem.depth * (1 - _span(severity, 0.08, 0.48)),
    )
    return replace(brand, emblem=redrawn)


def _pattern(brand: Brand, severity: float, rng: np.random.Generator) -> Brand:
    """Coarsen the security print: a lower frequency is easier to print."""
    frequency = brand.pattern.frequency / (1 + _span(severity, 0.06, 1.2))
    return replace(brand, pattern=replace(brand.pattern, frequency=frequency))


def _stitching(brand: Brand, severity: float, rng: np.random.Generator) -> Brand:
    """Sew faster, with longer stitches."""
    return replace(brand, stitch_pitch=brand.stitch_pitch * (1 + _span(severity, 0.08, 0.86)))


DEVIATIONS: dict[str, Deviation] = {
    "font": _font,
    "kerning": _kerning,
    "ink": _ink,
    "misregistration": _misregistration,
    "reprint": _reprint,
    "emblem": _emblem,
    "pattern": _pattern,
    "stitching": _stitching,
}
"""The kinds of counterfeit, by name."""


def deviation_mask(counterfeit: Picture, genuine: Picture) -> NDArray[np.uint8]:
    """Return where two flat labels differ, closed into areas: `(height, width)`, 0 or 255, never empty if they do."""
    difference = np.abs(counterfeit - genuine).max(axis=0)
    threshold = min(10.0, 0.5 * float(difference.max()))
    different = (difference > threshold).astype(np.uint8) * 255
    reach = max(3, round(max(difference.shape) / 40)) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return np.asarray(cv2.morphologyEx(cv2.dilate(different, disc), cv2.MORPH_CLOSE, disc), np.uint8)
