"""One drawn label, genuine or counterfeit, as a pure function of its number."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterfeit.data.labels import capture
from counterfeit.data.labels.artwork import flat_label, outline_layer
from counterfeit.data.labels.brands import BRANDS, Brand
from counterfeit.data.labels.deviations import DEVIATIONS, deviation_mask

_LEAST_SEVERITY = 0.05
_SKEW = 2.2  # 1 for evenly spread severities, above 1 for more severe ones than faint ones
_TWO_KINDS = 0.8


@dataclass(frozen=True)
class DrawnLabel:
    """A photograph of a label, and what is wrong with it."""

    image: NDArray[np.uint8]
    """`(size, size, 3)`, RGB."""
    mask: NDArray[np.uint8]
    """`(size, size)`, 255 where a counterfeit deviates, else 0."""
    kind: str
    """One of `DEVIATIONS`, two joined by `+`, or empty for a genuine label."""
    severity: float
    """From 0 for a genuine label, over barely visible, to 1."""
    brand: str


@dataclass(frozen=True)
class Exposure:
    """A drawn label as a camera stores it: the file's bytes, their JPEG quality, and all but the decoded image."""

    jpeg: bytes
    quality: int
    mask: NDArray[np.uint8]
    kind: str
    severity: float
    brand: str


def _generator(seed: int, index: int, counterfeit: bool, stream: int) -> np.random.Generator:
    """Return a generator of its own for each decision, so that none shifts another."""
    return np.random.default_rng([seed, index, int(counterfeit), stream])


def _deviate(brand: Brand, rng: np.random.Generator) -> tuple[Brand, str, float]:
    """Return the specification that a counterfeiter follows, its kind and its severity."""
    severity = float(rng.uniform(_LEAST_SEVERITY**_SKEW, 1.0) ** (1 / _SKEW))
    count = 2 if rng.random() < _TWO_KINDS else 1
    chosen = set(rng.choice(list(DEVIATIONS), count, replace=False))
    kinds = [kind for kind in DEVIATIONS if kind in chosen]
    for kind in kinds:
        brand = DEVIATIONS[kind](brand, severity, rng)
    return brand, "+".join(kinds), severity


def expose(index: int, counterfeit: bool, *, size: int, seed: int, deviate: bool = True) -> Exposure:
    """Draw a label and photograph it.

    With `deviate=False` a counterfeit becomes its genuine twin: the same serial number, wear and photograph of a label
    that follows the specification.
    """
    if size < 32:
        raise ValueError(f"a label needs at least 32 pixels, not {size}")
    item = _generator(seed, index, counterfeit, 0)
    brand = BRANDS[int(item.integers(len(BRANDS)))]
    serial = f"{brand.name[0]}{brand.name[-1]}-{int(item.integers(10**6)):06d}"
    side = capture.label_side(size)
    outline = outline_layer(brand.layout, side)
    label = flat_label(brand, serial, side)
    mask = np.zeros(label.shape[:2], np.uint8)
    kind, severity = "", 0.0
    if counterfeit and deviate:
        copied, kind, severity = _deviate(brand, _generator(seed, index, counterfeit, 1))
        original, label = label, flat_label(copied, serial, side)
        mask = np.minimum(deviation_mask(label, original), outline)
    label = capture.wear(label, _generator(seed, index, counterfeit, 2))
    camera = _generator(seed, index, counterfeit, 3)
    image, mask = capture.photograph(label, outline, mask, brand.layout, size, camera)
    quality = int(camera.integers(capture.QUALITIES[0], capture.QUALITIES[1] + 1))
    return Exposure(capture.encode(image, quality), quality, mask, kind, severity, brand.name)


def draw_label(index: int, counterfeit: bool, *, size: int = 128, seed: int = 0) -> DrawnLabel:
    """Draw label `index` of a class: always the same for the same arguments, whatever was drawn before.

    `size` is the side of the photograph in pixels, at least 32; `seed` and `index` are not negative.
    """
    shot = expose(index, counterfeit, size=size, seed=seed)
    return DrawnLabel(capture.decode(shot.jpeg), shot.mask, shot.kind, shot.severity, shot.brand)
