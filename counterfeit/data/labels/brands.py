"""The invented brands: each is a specification that every genuine label of the brand follows exactly."""

from dataclasses import dataclass
from typing import Literal

from counterfeit.data.labels.strokes import Box, Typeface

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True)
class Layout:
    """Where things stand on a label, in units of its longer side."""

    width: float
    height: float
    corner: float
    """Radius of the corners."""
    word: Box
    emblem: Box
    band: Box
    """A bar in the accent colour that carries the tagline."""
    pattern: Box
    serial: Box
    care: Box
    hole: Box | None = None
    """The eyelet of a hang tag."""


@dataclass(frozen=True)
class Emblem:
    """A flower, star or cog inside a ring, given in polar form."""

    petals: int
    depth: float
    """How far the petals are cut in, as a share of the radius."""
    sharpness: float
    """Below 1 for round petals, above 1 for spikes."""
    core: float
    """Radius of the centre, as a share of the emblem's."""
    aspect: float = 1.0
    """Width over height."""
    ring: float = 1.25
    """Radius of the ring around it."""


@dataclass(frozen=True)
class Pattern:
    """The security print: interlaced waves, a rosette, or the cells of a copy-detection pattern."""

    style: Literal["waves", "rosette", "cells"]
    frequency: float
    """Waves across the box, lobes around the rosette, or cells across the box."""


@dataclass(frozen=True)
class Brand:
    """What a label looks like. The last three fields are faults in printing, which no brand specifies."""

    name: str
    tagline: str
    layout: Layout
    material: Literal["paper", "woven", "leather"]
    paper: Colour
    ink: Colour
    accent: Colour
    thread: Colour
    typeface: Typeface
    tracking: float
    """Space between letters, in cap heights."""
    small: Typeface
    """For the tagline and the serial number."""
    emblem: Emblem
    pattern: Pattern
    stitch_pitch: float
    """Distance between stitches, in units of the longer side."""
    kerning: tuple[float, ...] = ()
    """Error of the space before each letter of a line, in cap heights; repeats along the line."""
    registration: tuple[float, float] = (0.0, 0.0)
    """Shift of the accent plate against the ink plate, in units of the longer side."""
    reprint: float = 0.0
    """How coarse a copy it is: 0 for an original, 1 for a poor reproduction."""


_TAG = Layout(
    width=0.80,
    height=1.0,
    corner=0.06,
    hole=Box(0.40, 0.085, 0.05, 0.05),
    emblem=Box(0.40, 0.255, 0.21, 0.21),
    word=Box(0.40, 0.470, 0.60, 0.122),
    band=Box(0.40, 0.588, 0.62, 0.074),
    pattern=Box(0.40, 0.733, 0.62, 0.17),
    serial=Box(0.225, 0.882, 0.28, 0.044),
    care=Box(0.565, 0.882, 0.24, 0.046),
)
_PATCH = Layout(
    width=1.0,
    height=0.80,
    corner=0.035,
    emblem=Box(0.205, 0.245, 0.215, 0.215),
    word=Box(0.645, 0.195, 0.56, 0.130),
    band=Box(0.645, 0.333, 0.57, 0.076),
    pattern=Box(0.500, 0.525, 0.84, 0.20),
    serial=Box(0.240, 0.693, 0.30, 0.046),
    care=Box(0.770, 0.693, 0.28, 0.050),
)
_CREST = Layout(
    width=0.90,
    height=1.0,
    corner=0.12,
    word=Box(0.45, 0.165, 0.64, 0.120),
    emblem=Box(0.45, 0.490, 0.22, 0.22),
    pattern=Box(0.45, 0.490, 0.50, 0.50),
    band=Box(0.45, 0.798, 0.62, 0.074),
    serial=Box(0.285, 0.894, 0.28, 0.042),
    care=Box(0.610, 0.894, 0.24, 0.044),
)

STOCK_TYPEFACE = Typeface(weight=0.28, width=0.92)
"""A bold grotesque, which every sign maker has and no brand uses."""

BRANDS = (
    Brand(
        name="VELMO",
        tagline="ATELIER 1924",
        layout=_TAG,
        material="paper",
        paper=(243, 236, 220),
        ink=(34, 40, 72),
        accent=(178, 138, 62),
        thread=(150, 112, 58),
        typeface=Typeface(weight=0.11, width=0.76, contrast=2.3, serif=0.10),
        tracking=0.30,
        small=Typeface(weight=0.13, width=0.80),
        emblem=Emblem(petals=8, depth=0.55, sharpness=1.6, core=0.28),
        pattern=Pattern("waves", 7.0),
        stitch_pitch=0.046,
    ),
    Brand(
        name="NORUK",
        tagline="OUTDOOR GOODS",
        layout=_PATCH,
        material="leather",
        paper=(172, 112, 66),
        ink=(52, 28, 18),
        accent=(226, 190, 132),
        thread=(238, 220, 180),
        typeface=Typeface(weight=0.15, width=0.66, roundness=0.35, serif=0.06),
        tracking=0.32,
        small=Typeface(weight=0.13, width=0.80),
        emblem=Emblem(petals=3, depth=0.50, sharpness=0.7, core=0.30),
        pattern=Pattern("waves", 10.0),
        stitch_pitch=0.042,
    ),
    Brand(
        name="TARVO",
        tagline="WORKWEAR CO.",
        layout=_PATCH,
        material="woven",
        paper=(226, 226, 222),
        ink=(164, 34, 40),
        accent=(30, 62, 118),
        thread=(44, 66, 112),
        typeface=Typeface(weight=0.17, width=0.66, serif=0.15, roundness=0.6),
        tracking=0.34,
        small=Typeface(weight=0.13, width=0.80),
        emblem=Emblem(petals=10, depth=0.26, sharpness=0.5, core=0.36),
        pattern=Pattern("cells", 30.0),
        stitch_pitch=0.040,
    ),
    Brand(
        name="QUILA",
        tagline="FINE PERFUME",
        layout=_CREST,
        material="paper",
        paper=(238, 232, 224),
        ink=(84, 32, 82),
        accent=(46, 132, 128),
        thread=(120, 66, 116),
        typeface=Typeface(weight=0.10, width=0.82, contrast=1.8, slant=0.14, serif=0.07),
        tracking=0.32,
        small=Typeface(weight=0.13, width=0.80),
        emblem=Emblem(petals=12, depth=0.35, sharpness=1.0, core=0.32),
        pattern=Pattern("rosette", 15.0),
        stitch_pitch=0.044,
    ),
)
"""All brands. Few, so that what is genuine can be learnt from a few hundred photographs."""
