"""Where an image looks counterfeit to a detector, and whether that can be believed.

Maps are `(N, G, G)` on the grid of the patch features, one cell every 8 pixels of the working size; higher is more
suspect. An *evidence map* reads what the views say of each place. A *gradient map* asks which pixels move the score.
Neither says why a product is or is not genuine: it shows what this detector looks at. Logits are those that no
:class:`~counterfeit.detector.combination.Combination` bounds: what an image loses shows however sure the detector is.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from counterfeit.detector.module import Detector


def evidence_map(detector: Detector, images: Tensor) -> Tensor:
    """How far each cell is from genuine images at that place, see :class:`EvidenceMaps`.

    Args:
        detector: trained and calibrated.
        images: ``(N, 3, H, W)`` uint8, or float in [0, 1].

    Returns:
        ``(N, G, G)`` in deviations of genuine images, of which many exceed 2 in some cell.
    """
    with torch.inference_mode():
        _, evidence, _, _ = detector.with_maps(images)
    return evidence


def gradient_map(detector: Detector, images: Tensor, steps: int = 8) -> Tensor:
    """What the detail in each cell adds to the logit: integrated gradients (Sundararajan et al. 2017) from a blur.

    How the image was captured is held fixed on the way: else the blur would be corrected for, as one of the camera.

    Args:
        detector: trained and calibrated.
        images: ``(N, 3, H, W)`` uint8, or float in [0, 1].
        steps: points on the way from the blurred image to the image; each costs a pass forwards and backwards.

    Returns:
        ``(N, G, G)``, which sum to about the logit less that of the blurred image, both corrected for the image's
        own way of capturing.
    """
    sharp = detector.prepare(images)
    with torch.no_grad():
        pooled, _ = detector.backbone(sharp)
    base = blurred(sharp)
    total = torch.zeros_like(sharp)
    with torch.enable_grad():
        for step in range(steps):
            point = (base + (step + 0.5) / steps * (sharp - base)).requires_grad_(True)
            total += torch.autograd.grad(_logit_like(detector, point, pooled).sum(), point)[0] / steps
    grid = detector.size // 8
    pixels = ((sharp - base) * total).sum(1)
    return pixels.reshape(len(pixels), grid, 8, grid, 8).sum((2, 4))


def blurred(images: Tensor) -> Tensor:
    """Images ``(N, 3, S, S)`` without detail: averaged on a grid of 8 by 8, enlarged bilinearly."""
    return F.interpolate(F.adaptive_avg_pool2d(images, 8), images.shape[-2:], mode="bilinear", align_corners=False)


def pointing_hits(maps: Tensor, masks: Tensor, overlap: float = 0.0) -> Tensor:
    """Whether each map's highest cell lies where an image deviates: the pointing game (Zhang et al. 2018).

    Args:
        maps: ``(N, G, G)``.
        masks: ``(N, S, S)``, above 0 where the image deviates; ``S`` a multiple of ``G``.
        overlap: share of the cell that must exceed; 0 allows the peak half a cell of tolerance.

    Returns:
        ``(N,)`` bool.
    """
    hit = covered_cells(masks, maps.shape[-1], overlap).flatten(1)
    return hit.gather(1, maps.flatten(1).argmax(1, keepdim=True))[:, 0]


def covered_cells(masks: Tensor, grid: int, overlap: float = 0.0) -> Tensor:
    """Cells ``(N, G, G)`` with more than a share under the mask ``(N, S, S)``; their mean is a blind hit rate."""
    return F.adaptive_avg_pool2d((masks > 0).float()[:, None], grid)[:, 0] > overlap


def occlusion_effect(
    detector: Detector,
    images: Tensor,
    maps: Tensor,
    fill: Tensor,
    generator: torch.Generator,
    share: float = 0.1,
    draws: int = 4,
) -> Tensor:
    """How much more the logit drops when the highest cells are deleted than when other cells are: faithfulness.

    The other cells are the same pattern moved about the image, wrapped around its edges: scattered cells would leave
    more seams than the highest, which hang together, and a detector of counterfeits takes offence at seams.

    Args:
        detector: trained and calibrated.
        images: ``(N, 3, S, S)`` in [0, 1] at the working size.
        maps: ``(N, G, G)``.
        fill: ``(N, 3, S, S)``, what shows where a cell is deleted. A genuine photograph like the image serves best: a
            blur or a flat colour is suspect itself.
        generator: moves the patterns.
        share: of the cells deleted.
        draws: moves an image.

    Returns:
        ``(N,)`` logits; above 0 where the map is more faithful than chance.
    """
    grid = maps.shape[-1]
    top = maps.flatten(1).topk(max(1, round(share * grid**2)), dim=1).indices
    cells = torch.zeros(len(maps), grid**2, device=maps.device).scatter_(1, top, 1.0).view_as(maps)
    other = torch.stack([_logit_without(detector, images, _moved(cells, generator), fill) for _ in range(draws)])
    return other.mean(0) - _logit_without(detector, images, cells, fill)


def _moved(cells: Tensor, generator: torch.Generator) -> Tensor:
    grid = cells.shape[-1]
    steps = torch.randint(grid // 4, grid - grid // 4 + 1, (len(cells), 2), generator=generator).tolist()
    return torch.stack(
        [torch.roll(cell, (down, right), (0, 1)) for cell, (down, right) in zip(cells, steps, strict=True)]
    )


def _logit_without(detector: Detector, images: Tensor, cells: Tensor, fill: Tensor) -> Tensor:
    hidden = F.interpolate(cells[:, None], images.shape[-2:], mode="nearest")
    with torch.inference_mode():
        return _logit(detector, images * (1 - hidden) + fill * hidden)


def _logit(detector: Detector, images: Tensor) -> Tensor:
    return detector.combination.unbounded(detector.image_parts(images))


def _logit_like(detector: Detector, images: Tensor, pooled: Tensor) -> Tensor:
    """Logits ``(N,)`` of images as if captured like those of the pooled features ``(N, D)``."""
    parts = detector.as_captured(*detector.backbone(images))
    return detector.combination.unbounded(detector.captures(parts, pooled))
