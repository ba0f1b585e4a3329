"""Which arms are compared with which, and which of them the verdict is about."""

from collections.abc import Sequence
from typing import TypeVar

BASELINE, PRODUCT = "real", "synthetic"
CONTROLS = ("one-class", "placebo", "oracle")  # compared, but never the detector to put to use
ArmName = TypeVar("ArmName", bound=str)


def product_of(arms: Sequence[ArmName]) -> ArmName:
    """The arm that the verdict is about: ``synthetic``; without it the last that is no control, else the last control.

    Args:
        arms: names in the order of the configuration; ``real`` is chosen only if there is no other.
    """
    others = [arm for arm in arms if arm != BASELINE] or list(arms)
    return max(others, key=lambda arm: (arm == PRODUCT, arm not in CONTROLS, others.index(arm)))
