"""What is compared with what."""

from dataclasses import dataclass, field
from typing import Literal

from counterfeit.errors import UserError
from counterfeit.evaluation.arms import BASELINE, product_of
from counterfeit.gan.settings import Kind

Arm = Literal[
    "one-class",
    "real",
    "placebo",
    "smote",
    "mixup",
    "cutmix",
    "procedural",
    "noise",
    "dcgan",
    "transplant",
    "unrefined",
    "synthetic-random",
    "synthetic",
    "oracle",
]
MOST_RESAMPLES = 1_000_000  # of the bootstrap: hours, and no digit of a p value more that matters
WITHOUT_DOSE = ("one-class", "real", "oracle")
GENERATED = ("synthetic", "synthetic-random")  # arms made with the generator that gan.kind names
FROM_NOISE: dict[str, Kind] = {"noise": "noise", "dcgan": "dcgan"}  # arms named by their generator


@dataclass
class ExperimentSettings:
    """Arms, doses and the operating point.

    Args:
        arms: ways of training the detector; ``real`` is always among them.
        doses: weight of what is added, above 0. Of images with masks, that of the mask heads, eight times the patch
            heads' at 1, times the probability that genuine distances tell counterfeits, and less where photographs
            leave little to learn; of others, in the image heads, as a multiple of the real images of their label.
        operating_point: rule that chooses the threshold on validation: ``fpr<=x``, ``recall>=x``, ``cost=c`` (a miss
            costs c wrong accusations) or ``capacity=k/m`` (at most k of m images can be reviewed).
        alpha: share of each class that may fall into the wrong band of the detector that is kept.
        resamples: replicates of the bootstrap.
        learning_curve: numbers of training counterfeits at which ``real`` and the product are trained again; numbers
            above what the set has are left out. None: no curve.
        holdout_kind: a kind of counterfeit that ``real`` and the product are trained without and tested on, or ``all``
            for one kind after the other. None: no such test.
    """

    arms: list[Arm] = field(default_factory=lambda: ["one-class", "real", "placebo", "transplant", "synthetic"])
    doses: list[float] = field(default_factory=lambda: [1.0])
    operating_point: str = "fpr<=0.05"
    alpha: float = 0.1
    resamples: int = 2000
    learning_curve: list[int] | None = None
    holdout_kind: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.resamples <= MOST_RESAMPLES:
            raise UserError(f"experiment.resamples must be from 1 to {MOST_RESAMPLES}, not {self.resamples}")
        if not 0 < self.alpha <= 0.5:
            raise UserError(f"experiment.alpha must be above 0 and at most 0.5, not {self.alpha}")
        if self.learning_curve is not None and (not self.learning_curve or min(self.learning_curve) < 1):
            raise UserError(f"experiment.learning_curve {self.learning_curve}: give counts of at least 1, as in [8,16]")

    def cells(self) -> list[tuple[Arm, float]]:
        """Every arm with every dose that applies to it, ``real`` first."""
        if BASELINE not in self.arms:
            raise UserError("experiment.arms lacks 'real', which all others are compared with: add it")
        if not self.doses or any(not 0 < dose <= 10 for dose in self.doses):
            raise UserError(f"experiment.doses {self.doses}: give at least one dose above 0 and up to 10")
        cells: list[tuple[Arm, float]] = [("real", 0.0)]
        for arm in dict.fromkeys(self.arms):
            if arm not in WITHOUT_DOSE:
                cells += [(arm, dose) for dose in dict.fromkeys(self.doses)]
            elif arm != BASELINE:
                cells.append((arm, 0.0))
        return cells

    def generators(self, kind: Kind) -> list[Kind]:
        """The generators that the arms need; ``kind`` is that of the product."""
        arms = [arm for arm, _ in self.cells()]
        needed = [kind for arm in arms if arm in GENERATED]
        return list(dict.fromkeys(needed + [FROM_NOISE[arm] for arm in arms if arm in FROM_NOISE]))

    def product(self) -> Arm:
        """The arm that the verdict is about, see :func:`~counterfeit.evaluation.arms.product_of`."""
        return product_of([arm for arm, _ in self.cells()])

    def product_dose(self) -> float:
        """The product's dose: the smallest it is trained at."""
        return min(dose for arm, dose in self.cells() if arm == self.product())
