"""How large a difference an experiment can find, and how large an experiment a difference needs.

The verdict adjusts p-values over four metrics; the worst case of Holm's adjustment, Bonferroni's, is taken here. Both
functions use Student's quantiles at the degrees of freedom of the standard error.
"""

from scipy.special import stdtrit

POWER, ALPHA = 0.8, 0.05
PLANNED = 0.05  # the difference that sample sizes are given for: 5 percentage points


def detectable_difference(standard_error: float, freedom: float, comparisons: int = 1, power: float = POWER) -> float:
    """Smallest true difference that is found at 5 % in ``power`` of the experiments with this standard error.

    Args:
        standard_error: of the difference.
        freedom: its degrees of freedom.
        comparisons: number of p-values that are adjusted together.
        power: share of the experiments.

    Returns:
        At most 1: a rate cannot differ by more, so 1 means that nothing can be found.

    >>> round(detectable_difference(0.01, float("inf")), 4)  # 1.96 + 0.84 standard errors
    0.028
    """
    return min(1.0, _multiple(freedom, comparisons, power) * standard_error)


def groups_needed(
    images_error: float,
    training_error: float,
    freedom: float,
    n_groups: int,
    comparisons: int = 1,
    difference: float = PLANNED,
    power: float = POWER,
) -> float:
    """Test groups over all seeds with which ``difference`` is found at 5 % in ``power`` of the experiments.

    The variance from images shrinks as their number grows; that from training shrinks only with more seeds.

    Args:
        images_error: standard error from images.
        training_error: standard error from training.
        freedom: degrees of freedom of both together.
        n_groups: those behind the two errors.
        comparisons: number of p-values that are adjusted together.
        difference: to be found.
        power: share of the experiments.

    Returns:
        Number of groups; infinite where training alone hides the difference.

    >>> round(groups_needed(0.0252, 0.0, float("inf"), 100))  # 2.8 standard errors are 7 pp: about (7 / 5)^2 times
    199
    """
    allowed = (difference / _multiple(freedom, comparisons, power)) ** 2 - training_error**2
    return n_groups * images_error**2 / allowed if allowed > 0 else float("inf")


def _multiple(freedom: float, comparisons: int, power: float) -> float:
    """Standard errors that a difference must have: to reach the critical value, and to exceed it so often."""
    return float(stdtrit(freedom, 1 - ALPHA / (2 * comparisons)) + stdtrit(freedom, power))
