"""Choose the threshold of a detector on validation by a rule, and say what it does there, with intervals."""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from counterfeit.errors import UserError

RuleName = Literal["fpr", "recall", "cost", "capacity"]
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_FORMS: dict[RuleName, str] = {
    "fpr": rf"fpr<={_NUMBER}",
    "recall": rf"recall>={_NUMBER}",
    "cost": rf"cost={_NUMBER}",
    "capacity": rf"capacity={_NUMBER}/{_NUMBER}",
}


class Rule(NamedTuple):
    """A rule and its number: a rate in [0, 1], or for ``cost`` a ratio above 0."""

    name: RuleName
    value: float


@dataclass(frozen=True)
class Rate:
    """A share of images with its 95 % interval (Wilson 1927), as if the images were independent."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, the rule that chose it, and what it does on the images that it was chosen on.

    An image is called counterfeit when its probability is at or above ``threshold``.
    """

    rule: str
    threshold: float
    n: int
    n_genuine: int
    n_counterfeit: int
    recall: Rate
    fpr: Rate


def parse_rule(rule: str) -> Rule:
    """Read a rule.

    Args:
        rule: ``fpr<=x`` or ``recall>=x`` with x in [0, 1]; ``cost=c``, a missed counterfeit costs as much as c wrong
            accusations; ``capacity=k/m``, at most k of m images can be reviewed.

    Raises:
        UserError: the rule is none of these.
    """
    for name, form in _FORMS.items():
        if found := re.fullmatch(form, rule.replace(" ", "")):
            numbers = [float(number) for number in found.groups()]
            if name == "capacity":
                numbers = [numbers[0] / numbers[1] if numbers[1] else np.inf]
            if numbers[0] > 0 if name == "cost" else numbers[0] <= 1:
                return Rule(name, numbers[0])
    raise UserError(
        f"operating point {rule!r} is not understood:"
        " write fpr<=0.05, recall>=0.9, cost=10 (a miss costs ten wrong accusations) or capacity=100/10000"
    )


def choose_operating_point(label: NDArray[np.int64], probability: NDArray[np.float64], rule: str) -> OperatingPoint:
    """Choose the threshold on validation.

    Equal scores pass together or not at all. ``fpr``: as many images pass as the rate allows; ``recall``: as few as
    reach it; ``cost``: the cheapest, fewest on a tie; ``capacity``: as many as can be reviewed. The threshold lies
    half-way between the last score that passes and the next, so that rounding in another engine flips no label.

    Args:
        label: ``(N,)``, genuine = 0, counterfeit = 1.
        probability: ``(N,)`` in [0, 1].
        rule: see :func:`parse_rule`.

    Raises:
        UserError: the rule is not understood, or validation has one class only.
    """
    name, value = parse_rule(rule)
    n_genuine, n_counterfeit = int((label == 0).sum()), int((label == 1).sum())
    if not n_genuine or not n_counterfeit:
        raise UserError("validation has one class only, on which no operating point can be chosen: add images to it")
    scores = np.unique(probability)[::-1]
    # Images that pass at every cut: none, then all at or above each distinct score, from the highest down.
    found, wrong = (np.r_[0, _at_or_above(probability[label == c], scores)] for c in (1, 0))
    missed = n_counterfeit - found
    slack = 1e-9  # 0.05 * 60 is 3 and not 2.9999999999999996
    if name == "fpr":
        cut = int(np.flatnonzero(wrong <= value * n_genuine + slack)[-1])
    elif name == "recall":
        cut = int(np.flatnonzero(found >= value * n_counterfeit - slack)[0])
    elif name == "cost":
        cut = int(np.argmin(value * missed + wrong))
    else:
        cut = int(np.flatnonzero(found + wrong <= value * len(label) + slack)[-1])
    return OperatingPoint(
        rule,
        _threshold(scores, cut),
        len(label),
        n_genuine,
        n_counterfeit,
        recall=_rate(int(found[cut]), n_counterfeit),
        fpr=_rate(int(wrong[cut]), n_genuine),
    )


def _at_or_above(probability: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    return len(probability) - np.searchsorted(np.sort(probability), scores, side="left")


def _threshold(scores: NDArray[np.float64], cut: int) -> float:
    """A threshold that the ``cut`` highest of the distinct scores pass, which are in falling order."""
    if cut == len(scores):
        return 0.0
    above = float(scores[cut - 1]) if cut else 1.0
    below = float(scores[cut])
    middle = (above + below) / 2
    if middle > below:
        return middle
    return above if cut else float(np.nextafter(1.0, 2.0))


def _rate(count: int, total: int) -> Rate:
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return Rate(count / total, float(interval.low), float(interval.high))
