"""Candidates for a bank from a generator that makes whole images: no host, no donor, no mask."""

import numpy as np
import torch
from torch.nn import functional as F

from counterfeit.gan.finished import Generate
from counterfeit.gan.transplant import Composites, to_float, to_pixels
from counterfeit.synthesis.gate import squared_distances
from counterfeit.synthesis.synthesise import Candidates, Draw


def draw_from_noise(real: Candidates, generate: Generate) -> Draw:
    """How :func:`synthesise` draws whole images.

    A generator has seen all training images, so that an image has no host and no donor of its own. Named as both is
    the nearest training photograph of its label: the one it would be a copy of, which the gate for novelty compares it
    with and whose fold no head that judges it has learned from. The mask covers the whole image.

    Args:
        real: the training images and how to see them.
        generate: classes ``(N,)`` and a generator to images ``(N, 3, s, s)`` in [0, 1], scaled to the photographs.
    """
    size = real.sources.pixels.shape[1]

    def draw(label: int, count: int, generator: np.random.Generator) -> Composites:
        noise = torch.Generator().manual_seed(int(generator.integers(2**31)))
        made = generate(torch.full((count,), label), noise)
        pixels = to_pixels(F.interpolate(made, (size, size), mode="bicubic", align_corners=False))
        rows = np.flatnonzero(real.sources.label == label)
        features = real.standardise(real.embed(pixels).pooled)
        nearest = rows[squared_distances(features, real.features[rows]).argmin(1)]
        masks = torch.ones(count, 1, size, size)
        images = to_float(pixels)
        return Composites(images, masks, nearest, nearest, np.full(count, label), images)

    return draw
