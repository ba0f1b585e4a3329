"""What a run says of its data and of its dose."""

import numpy as np
from numpy.typing import NDArray

from counterfeit.data.datamodule import ProductData
from counterfeit.experiment.arms import BANKS
from counterfeit.experiment.settings import FROM_NOISE, WITHOUT_DOSE


def dose_reason(product: str, doses: int, used: list[float]) -> str:
    """Why the product has the dose that it has.

    Args:
        product: the arm that the verdict is about.
        doses: how many were asked for.
        used: by each seed.
    """
    if product in WITHOUT_DOSE:
        return "the arm has none"
    reason = "given by experiment.doses"
    if doses > 1:
        reason = "the smallest of experiment.doses; the others are listed as arms of their own"
    if product not in BANKS or product in FROM_NOISE:  # without masks
        return reason
    return (
        f"{reason}; {min(used):.2f} to {max(used):.2f} was used: masks are believed as far as the distance from "
        "genuine patches tells the training counterfeits, and count less where photographs alone leave little to learn"
    )


def counts(data: ProductData, split: NDArray[np.str_]) -> str:
    """How many photographs there are.

    Args:
        data: set up.
        split: of one seed, ``(N,)``.
    """
    parts = [f"  {len(data.photos)} photographs, {len(set(data.photos.group.tolist()))} groups"]
    for name in ("train", "validation", "test"):
        label = data.photos.label[split == name]
        parts.append(f"{name} {(label == 0).sum()} genuine + {(label == 1).sum()} counterfeit")
    if data.quarantine:
        parts.append(f"{len(data.quarantine)} quarantined")
    return "; ".join(parts)
