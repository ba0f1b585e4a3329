"""Distances from genuine patches that were measured before, for detectors that know the same genuine photographs."""

import hashlib

from torch import Tensor

from counterfeit.backbone import GenuineDistances


class Remembered:
    """Distances of the images of one seed: all arms compare them with the same genuine photographs.

    Measured once instead of for every arm, which is what takes longest where no head learns.
    """

    def __init__(self) -> None:
        self._found: dict[bytes, Tensor] = {}

    def distances(self, genuine: GenuineDistances, pooled: Tensor, patches: Tensor, fold: Tensor | None) -> Tensor:
        """``(N, 3, G, G)`` as ``genuine(patches, fold)`` gives them.

        Args:
            genuine: with the same genuine photographs as all others that were asked.
            pooled: ``(N, D)`` of the same images; they tell which images these are.
            patches: ``(N, G, G, C)``.
            fold: ``(N,)`` fold to leave out for each image, or none.
        """
        key = hashlib.blake2b(pooled.cpu().numpy().tobytes())
        key.update(b"" if fold is None else fold.cpu().numpy().tobytes())
        if key.digest() not in self._found:
            self._found[key.digest()] = genuine(patches, fold).cpu()
        return self._found[key.digest()].to(patches.device)
