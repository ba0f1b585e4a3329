"""The heat map: where the detector's patch view finds an item unlike genuine ones, as a transparent picture."""

import inspect
import io
import json
import threading
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from counterfeit.data.images import decode_image
from counterfeit.detector import Detector

COLOUR = (226, 60, 24)
MOST_OPAQUE = 170  # of 255, so that the photograph stays visible below
SIDE = 512  # pixels of the picture


def load_detector(run: Path) -> Detector:
    """The shipped detector of a run folder; never unpickles."""
    card = json.loads((run / "detector.json").read_text(encoding="utf-8"))
    accepted = inspect.signature(Detector).parameters
    detector = Detector(**{name: value for name, value in card["hyperparameters"].items() if name in accepted})
    detector.load_state_dict(load_file(run / "detector.safetensors"))
    return detector.eval().requires_grad_(False)


class HeatMaps:
    """Heat maps of one detector, which is loaded when the first is asked for."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._detector: Detector | None = None
        self._lock = threading.Lock()

    def png(self, content: bytes) -> bytes:
        """The map of an image as PNG with transparency; raises ``BadImage`` for what cannot be decoded."""
        with self._lock:
            detector = self._detector = self._detector or load_detector(self.run)
        pixels = torch.from_numpy(decode_image(content, detector.size)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            evidence = torch.sigmoid(detector.patch_map(pixels))[0].numpy()
        return overlay(evidence)


def overlay(evidence: NDArray[np.float32]) -> bytes:
    """Evidence ``(G, G)`` in [0, 1] as the opacity of one colour: faint where there is little, whatever the rest is."""
    opacity = Image.fromarray(np.clip(evidence * MOST_OPAQUE, 0, 255).astype(np.uint8))
    picture = Image.new("RGBA", (SIDE, SIDE), (*COLOUR, 0))
    picture.putalpha(opacity.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
