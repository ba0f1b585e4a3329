"""Whether an exported graph says what the detector in torch says, on photographs of the awkward kinds."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from counterfeit.data.images import Pixels, upright_rgb
from counterfeit.data.labels import draw_label
from counterfeit.detector.engine import Engine, probability_of
from counterfeit.detector.module import Detector

TOLERANCE = 1e-4
SIDES = ((97, 150), (301, 77), (50, 40), (33, 500), (1, 1), (720, 960))  # height, width
ORIENTATION, ROTATED = 0x0112, 6  # the EXIF tag, and its value for a camera held upright


class Parity(NamedTuple):
    """What was compared: ``largest`` difference of probability, and ``flips`` of the label at the threshold."""

    n: int
    largest: float
    flips: int

    @property
    def holds(self) -> bool:
        """Whether the two are one detector."""
        return self.largest <= TOLERANCE and not self.flips

    def __str__(self) -> str:
        return (
            f"ONNX Runtime and torch were compared on {self.n} images (odd sizes, greyscale, EXIF-rotated, CMYK,"
            f" 16 bits): largest difference of probability {self.largest:.1e}, {self.flips} other labels."
        )


def parity(detector: Detector, engine: Engine, threshold: float, images: Sequence[Pixels]) -> Parity:
    """Compare an engine with the detector's own ``forward`` in torch.

    The difference is a quarter of that of the logits, which is what it comes to where it matters most, at a
    probability of one half; a detector that is sure of all images would pass unseen otherwise.
    Logits are those of ``forward``, which beyond 8 grow with the logarithm; maps and kinds of capture are not compared.

    Args:
        detector: in evaluation mode.
        engine: of the exported graph.
        threshold: probability from which on an image is called counterfeit.
        images: ``(H, W, 3)`` uint8, of any sizes.
    """
    ours, theirs = [], []
    for pixels in images:
        with torch.inference_mode():
            ours.append(float(detector(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None])))
        theirs.append(float(engine(pixels[None]).logit[0]))
    first, second = np.array(ours), np.array(theirs)
    flips = int(((probability_of(first) >= threshold) != (probability_of(second) >= threshold)).sum())
    return Parity(len(images), float(np.abs(first - second).max() / 4), flips)


def awkward_images(size: int) -> list[Pixels]:
    """Drawn labels, genuine and counterfeit, in odd sizes, greyscale, EXIF-rotated, CMYK, 16 bits, each ``(H, W, 3)``.

    Args:
        size: working size of the detector in pixels, at which nothing is resized.
    """
    images: list[Pixels] = []
    for index in range(4):
        label = Image.fromarray(draw_label(index, counterfeit=index % 2 == 1, size=256, seed=20).image)
        images += [np.asarray(label.resize((width, height))) for height, width in (*SIDES, (size, size))]
        images += [np.asarray(upright_rgb(Image.open(io.BytesIO(file)))) for file in awkward_files(label)]
    return images


def awkward_files(image: Image.Image) -> list[bytes]:
    """An RGB image as greyscale PNG, EXIF-rotated JPEG, CMYK JPEG and 16-bit grey PNG."""
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    forms: list[tuple[Image.Image, str, dict[str, Image.Exif]]] = [
        (image.convert("L"), "PNG", {}),
        (image, "JPEG", {"exif": exif}),
        (image.convert("CMYK"), "JPEG", {}),
        (deep, "PNG", {}),
    ]
    files = []
    for form, kind, options in forms:
        buffer = io.BytesIO()
        form.save(buffer, kind, **options)
        files.append(buffer.getvalue())
    return files
