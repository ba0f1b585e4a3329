"""Has the training of the refiner failed? Named checks on the history of its metrics, each a reason or ``None``."""

import csv
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Metrics = Mapping[str, float]
Check = Callable[[Sequence[Metrics]], str | None]

COLUMNS = (
    *("step", "images", "loss_generator", "loss_discriminator", "score_real", "score_fake"),
    *("diversity", "change", "spread", "donor_distance", "images_per_second"),
)
WINDOW = 5  # rows of the history that are judged together, so that one bad batch is no alarm
SATURATED_LOSS = 0.05  # hinge loss of the discriminator: 2 knows nothing, 0 separates every patch by the margin
SATURATED_GAP = 2.0  # mean score of real minus refined images: the hinge loss can only be 0 beyond 2
COLLAPSED_SPREAD = 0.5  # spread of refined images in feature space as a part of their composites' spread
SMALLEST_DONOR_DISTANCE = 0.25  # distance to the donor's own pixels as a part of the composites' distance
SMALLEST_CHANGE = 5e-4  # mean change of a pixel inside the mask: an eighth of a grey level
SMALLEST_DIVERSITY = 0.01  # difference between two latents as a part of the change itself


def find_nan(history: Sequence[Metrics]) -> str | None:
    """A metric of the last row is not a finite number."""
    bad = [name for name, value in history[-1].items() if not math.isfinite(value)]
    return f"nan: {', '.join(bad)} at {history[-1]['images']:.0f} images" if bad else None


def discriminator_won(history: Sequence[Metrics]) -> str | None:
    """The discriminator separates real from refined beyond its margin, so that the generator learns nothing more."""
    gap = recent_mean(history, "score_real") - recent_mean(history, "score_fake")
    # The median: it wins within steps, and a mean would hold the loss of the first ones as long as the window does.
    loss = statistics.median(row["loss_discriminator"] for row in history[-WINDOW:])
    if gap > SATURATED_GAP and loss < SATURATED_LOSS:
        return f"discriminator_won: loss {loss:.3f}, real images score {gap:.1f} more than refined ones"
    return None


def collapsed(history: Sequence[Metrics]) -> str | None:
    """Refined images resemble each other far more than the composites they were made of."""
    spread = recent_mean(history, "spread")
    if spread < COLLAPSED_SPREAD:
        return f"collapsed: refined images differ by {spread:.0%} of the difference between their composites"
    return None


def copied(history: Sequence[Metrics]) -> str | None:
    """The refiner puts the donor's own pixels back, whatever host they stand in."""
    distance = recent_mean(history, "donor_distance")
    if distance < SMALLEST_DONOR_DISTANCE:
        return f"copied: refined images keep {distance:.0%} of the difference between composites and their donors"
    return None


def unchanged(history: Sequence[Metrics]) -> str | None:
    """The refiner leaves composites as they are."""
    change = recent_mean(history, "change")
    if change < SMALLEST_CHANGE:
        return f"unchanged: refined images equal their composites (mean change {change:.5f})"
    return None


def constant(history: Sequence[Metrics]) -> str | None:
    """The refiner does the same whatever the latent."""
    diversity = recent_mean(history, "diversity")
    if diversity < SMALLEST_DIVERSITY:
        return f"constant: another latent changes nothing (relative difference {diversity:.4f})"
    return None


def recent_mean(history: Sequence[Metrics], name: str) -> float:
    """Mean of a metric over the last rows."""
    recent = history[-WINDOW:]
    return sum(row[name] for row in recent) / len(recent)


WINDOWED: tuple[Check, ...] = (discriminator_won, collapsed, copied, unchanged, constant)
FINAL: tuple[Check, ...] = (discriminator_won, collapsed, copied)  # an untrained refiner passes them


def diagnose(history: Sequence[Metrics], finished: bool = False) -> str | None:
    """The first reason for which a training must be called failed, or ``None``.

    Args:
        history: rows, oldest first, with the columns ``images``, ``loss_discriminator``, ``score_real``,
            ``score_fake``, ``diversity``, ``change``, ``spread`` and ``donor_distance``. A history shorter than the
            window is judged for numbers that are not finite only: the networks start from the identity.
        finished: no row will follow. A short history is then judged too, but for changing nothing: it had no time to.
    """
    if not history:
        return None
    if reason := find_nan(history):
        return reason
    if len(history) < WINDOW:
        return first_reason(FINAL, history) if finished else None
    return first_reason(WINDOWED, history)


def first_reason(checks: Sequence[Check], history: Sequence[Metrics]) -> str | None:
    """What the first of the checks that fails says, ``None`` if none does."""
    return next((reason for check in checks if (reason := check(history))), None)


def write_history(path: Path, history: Sequence[Metrics]) -> None:
    """Write rows as CSV, every digit kept; the first row names the columns, which are ``COLUMNS`` for a refiner."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]) if history else COLUMNS)
        writer.writeheader()
        writer.writerows(history)
