"""Handwritten digits: real images that need no photographs of one's own, for a first look at a GAN."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import MNIST  # type: ignore[import-untyped]

from counterfeit.errors import UserError

Digits = Literal["digits", "MNIST"]
DRAWN, MARGIN = 24, 4  # pixels to which scikit-learn's 8 x 8 digits are enlarged, and around them, as MNIST has


def read_digits(name: Digits, cache: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Handwritten digits and which they are.

    Args:
        name: ``digits`` (1797 of 8 x 8 pixels, part of scikit-learn, enlarged and framed to 32) or ``MNIST`` (60 000
            of 28 x 28 pixels, which torchvision downloads).
        cache: where a download is kept.

    Returns:
        ``(N, S, S, 3)`` grey uint8 and ``(N,)`` from 0 to 9.

    Raises:
        UserError: MNIST cannot be downloaded.
    """
    if name == "MNIST":
        grey, label = _mnist(cache)
    else:
        stored = load_digits()
        small = np.rint(stored.images * (255 / 16)).astype(np.uint8)
        size = (DRAWN, DRAWN)
        large = np.stack([np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BICUBIC)) for x in small])
        grey = np.pad(large, [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)])
        label = stored.target.astype(np.int64)
    return np.repeat(grey[..., None], 3, axis=3), label


def _mnist(cache: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        stored = MNIST(str(cache), train=True, download=True)
    except (OSError, RuntimeError) as error:
        raise UserError("MNIST could not be downloaded: use --data digits, which needs no network") from error
    return stored.data.numpy(), stored.targets.numpy().astype(np.int64)
