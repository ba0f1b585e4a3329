"""The detector put to use: photographs in, probabilities, bands and heat maps out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from counterfeit.data.images import BadImage, Pixels, decode_image, square_pixels, upright_rgb
from counterfeit.detector.card import BANDS, Band, Card, read_card
from counterfeit.detector.engine import Engine, EngineName, Outputs, Packed, pack_engine, probability_of
from counterfeit.errors import UserError

BATCH = 128  # images that are decoded and scored together: with fewer, processors wait for the last pass more often
HeatMap = Literal["evidence", "distance"]
Photograph = str | Path | bytes | Image.Image | NDArray[np.generic]


@dataclass(frozen=True)
class Score:
    """What the detector says of one photograph.

    Attributes:
        probability: of counterfeit; a risk score, not proof.
        band: that the probability lies in.
        counterfeit: whether the probability is at or above the operating threshold, which is in the scorer's ``card``.
        captured: how the photograph seems to have been taken or stored, one of the card's ``captures``.
        heat_map: ``(G, G)`` float32, ``G`` = working size / 8, if asked for.
    """

    probability: float
    band: Band
    counterfeit: bool
    captured: str
    heat_map: NDArray[np.float32] | None = None


class Scorer:
    """A stored detector, ready to score.

    Args:
        card: what the detector is.
        engine: computes its scores.
        engine_name: ``torch`` or ``onnx``.
    """

    def __init__(self, card: Card, engine: Engine, engine_name: str) -> None:
        self.card, self.engine, self.engine_name = card, engine, engine_name

    @classmethod
    def load(
        cls, folder: str | Path, engine: EngineName = "auto", device: str = "cpu", threads: int | None = None
    ) -> "Scorer":
        """Load the detector of a finished run or an export; nothing is unpickled.

        Args:
            folder: run folder, or any folder with ``detector.json`` and ``detector.safetensors`` or ``detector.onnx``.
            engine: ``torch``; ``onnx``, which needs an export and no torch; ``auto``, the faster one that can be had.
            device: where to compute, ``cpu``, ``cuda`` or ``cuda:<number>``; ONNX Runtime only on a CPU.
            threads: of ONNX Runtime; all processors unless told.

        Raises:
            UserError: the folder holds no finished detector, or the device cannot be had.
        """
        return cls.unpack(pack_engine(read_card(Path(folder)), engine, device), threads)

    @classmethod
    def unpack(cls, packed: Packed, threads: int | None = None) -> "Scorer":
        """A detector that was loaded elsewhere; arguments and errors as of :meth:`Packed.unpack`."""
        return cls(packed.card, packed.unpack(threads), packed.name)

    def score(self, photographs: Sequence[Photograph], heat_maps: HeatMap | None = None) -> list[Score]:
        """Score photographs, decoded as those that the detector learned from.

        Args:
            photographs: any mixture of paths, files' bytes, PIL images and arrays ``(H, W)``, ``(H, W, 3)`` or
                ``(H, W, 4)``, uint8, uint16 or float in [0, 1]; an array ``(N, H, W)`` or ``(N, H, W, 3)`` is ``N``.
            heat_maps: ``evidence``, how far each place is from genuine images, in their deviations, which exceed 2 in
                some cell of many genuine ones; ``distance``, in [0, 2], how far patches, less the average of their
                image, are from genuine ones.

        Returns:
            One score a photograph, in their order.

        Raises:
            UserError: one of them cannot be read, or there is one alone where a list is due.
        """
        if _is_one(photographs):
            raise UserError("photographs is no list of photographs: for one, score([photograph])")
        scores: list[Score] = []
        for start in range(0, len(photographs), BATCH):
            batch = photographs[start : start + BATCH]
            pixels = [decode_photograph(one, self.card.size, start + i) for i, one in enumerate(batch)]
            outputs = self.engine(np.stack(pixels))
            probability = probability_of(outputs.logit)
            maps = _heat_maps(outputs, heat_maps)
            bands = self.card.band_numbers(probability).tolist()
            captured = [self.card.captures[number] for number in outputs.capture.tolist()]
            scores += [
                Score(p, BANDS[band], p >= self.card.threshold, capture, None if maps is None else maps[i])
                for i, (p, band, capture) in enumerate(zip(probability.tolist(), bands, captured, strict=True))
            ]
        return scores

    def kept(self, pixels: Pixels) -> NDArray[np.float64]:
        """Probability and position in ``captures``, ``(N, 2)``, of decoded images ``(N, H, W, 3)`` uint8."""
        batches = [self.engine(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)]
        return np.concatenate([np.empty((0, 2)), *(np.c_[probability_of(b.logit), b.capture] for b in batches)])


def _is_one(photographs: object) -> bool:
    """Whether this is a photograph where a list of them is due; an array of grey ones ``(N, H, W)`` is a list."""
    shape: tuple[int, ...] | None = getattr(photographs, "shape", None)
    one_array = shape is not None and (len(shape) in (0, 2) or (len(shape) == 3 and shape[-1] in (1, 3, 4)))
    return one_array or isinstance(photographs, str | bytes | Path | Image.Image)


def decode_photograph(photograph: Photograph, size: int, number: int = 0) -> Pixels:
    """Anything that shows a photograph as ``(size, size, 3)`` uint8 RGB.

    Args:
        photograph: see :meth:`Scorer.score`.
        size: side in pixels.
        number: place in the caller's list, for the message.

    Raises:
        UserError: it cannot be read.
    """
    try:
        if isinstance(photograph, str | Path):
            return decode_image(Path(photograph), size)
        if isinstance(photograph, bytes):
            return decode_image(photograph, size)
        if isinstance(photograph, Image.Image):
            return square_pixels(upright_rgb(photograph), size)
        return square_pixels(upright_rgb(_image_of(np.asarray(photograph))), size)
    except BadImage as bad:
        name = f" ({photograph})" if isinstance(photograph, str | Path) else ""
        raise UserError(f"photograph {number}{name} cannot be scored: {bad.reason}") from bad
    except OSError as error:
        raise UserError(f"photograph {number} cannot be scored: {error}") from error


def _image_of(array: NDArray[np.generic]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise BadImage(f"an array of shape {array.shape}, not (H, W), (H, W, 3) or (H, W, 4)")
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise BadImage("a float array with values outside of [0, 1]")
        array = (array.astype(np.float64) * 255).round().astype(np.uint8)
    elif array.dtype == np.uint16:
        array = (array.astype(np.float64) / 257).round().astype(np.uint8)
    elif array.dtype != np.uint8:
        raise BadImage(f"an array of type {array.dtype}, not uint8, uint16 or float")
    return Image.fromarray(array)


def _heat_maps(outputs: Outputs, kind: HeatMap | None) -> NDArray[np.float32] | None:
    if kind is None:
        return None
    return outputs.evidence_map if kind == "evidence" else outputs.distance_map
