"""The heat map: where the detector finds an item unlike genuine ones, as a transparent picture."""

import io
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from counterfeit.data.images import decode_image
from counterfeit.detector import Scorer

COLOUR = (226, 60, 24)
MOST_OPAQUE = 170  # of 255, so that the photograph stays visible below
FAINT, STRONG = 1.0, 4.0  # deviations of genuine images at which colour begins, and is strongest
SIDE = 512  # pixels of the picture


class HeatMaps:
    """Heat maps of a run's detector, which is loaded when the first is asked for."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._scorer: Scorer | None = None
        self._lock = threading.Lock()

    def png(self, content: bytes) -> bytes:
        """The map of an image as PNG with transparency; raises ``BadImage`` for what cannot be decoded."""
        with self._lock:
            scorer = self._scorer = self._scorer or Scorer.load(self.run)
        evidence = scorer.score([decode_image(content, scorer.card.size)], heat_maps="evidence")[0].heat_map
        assert evidence is not None  # it was asked for
        return overlay(evidence)


def overlay(evidence: NDArray[np.float32]) -> bytes:
    """Evidence ``(G, G)`` in deviations as the opacity of one colour: faint where little, whatever the rest is."""
    strength = np.clip((evidence - FAINT) / (STRONG - FAINT), 0, 1)
    smooth = Image.fromarray(strength.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    opacity = np.clip(np.asarray(smooth), 0, 1) * MOST_OPAQUE  # bicubic overshoots beside the strongest cells
    picture = Image.new("RGBA", (SIDE, SIDE), (*COLOUR, 0))
    picture.putalpha(Image.fromarray(opacity.astype(np.uint8)))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
