"""Each planted failure is found by its name; a healthy history passes."""

import csv
from pathlib import Path

import pytest

from counterfeit.gan.health import COLUMNS, WINDOW, diagnose, write_history
from counterfeit.gan.settings import GanSettings
from counterfeit.gan.train import ROW_STEPS

HEALTHY = {
    "step": 10.0,
    "images": 160.0,
    "loss_generator": 0.2,
    "loss_discriminator": 1.7,
    "score_real": 0.2,
    "score_fake": -0.2,
    "diversity": 0.5,
    "change": 0.01,
    "spread": 0.95,
    "donor_distance": 1.0,
    "images_per_second": 50.0,
}


def history(rows: int = 2 * WINDOW, **planted: float) -> list[dict[str, float]]:
    """Healthy rows, the last ``WINDOW`` of them with planted values."""
    healthy = [dict(HEALTHY) for _ in range(rows - WINDOW)]
    return healthy + [HEALTHY | planted for _ in range(WINDOW)]


def test_a_healthy_history_passes() -> None:
    assert diagnose(history()) is None
    assert diagnose([]) is None


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("nan", {"loss_generator": float("nan")}),
        ("nan", {"score_real": float("inf")}),
        ("discriminator_won", {"loss_discriminator": 0.01, "score_real": 3.0, "score_fake": -2.0}),
        ("collapsed", {"spread": 0.2}),
        ("copied", {"donor_distance": 0.1}),
        ("unchanged", {"change": 1e-5}),
        ("constant", {"diversity": 0.001}),
    ],
)
def test_a_planted_failure_is_named(name: str, planted: dict[str, float]) -> None:
    reason = diagnose(history(**planted))
    assert reason is not None and reason.startswith(f"{name}: ")


def test_one_bad_row_is_no_alarm_but_nan_is() -> None:
    assert diagnose([*history(), HEALTHY | {"spread": 0.3}]) is None
    assert diagnose([HEALTHY | {"change": float("nan")}]) is not None


def test_a_cause_is_named_before_its_consequence() -> None:
    """A discriminator that wins at once leaves no gradient: its first steps, with all their loss, do not hide it."""
    won = HEALTHY | {"loss_discriminator": 0.0, "score_real": 9.0, "score_fake": -9.0, "change": 0.0}
    reason = diagnose([won | {"loss_discriminator": 1.4}, *[won] * (WINDOW - 1)])
    assert str(reason).startswith("discriminator_won: ")


def test_a_short_run_is_judged_at_its_end_but_for_changing_nothing() -> None:
    assert diagnose([HEALTHY | {"spread": 0.2}] * 2) is None
    assert str(diagnose([HEALTHY | {"spread": 0.2}] * 2, finished=True)).startswith("collapsed: ")
    assert diagnose([HEALTHY | {"change": 0.0, "diversity": 0.0}] * 2, finished=True) is None


def test_a_short_history_is_not_judged_for_what_needs_time() -> None:
    assert diagnose([HEALTHY | {"change": 0.0}] * (WINDOW - 1)) is None
    assert str(diagnose([HEALTHY | {"change": 0.0}] * WINDOW)).startswith("unchanged: ")


def test_the_default_budget_is_long_enough_to_be_judged() -> None:
    settings = GanSettings()
    assert settings.refiner(0).total_steps // ROW_STEPS >= WINDOW


def test_a_large_gap_alone_is_no_failure() -> None:
    assert diagnose(history(score_real=2.0, score_fake=-1.0, loss_discriminator=0.6)) is None


def test_history_is_written_with_every_digit(tmp_path: Path) -> None:
    write_history(tmp_path / "metrics.csv", [HEALTHY | {"change": 1 / 3}])
    with (tmp_path / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert list(row) == list(COLUMNS)
    assert float(row["change"]) == 1 / 3
