"""What the page says of detectors that were trained again: with other counts, without a kind."""

import pytest

from counterfeit.report.html import write_report
from tests.report.test_report import Page


@pytest.fixture(scope="module")
def words(full_run):
    return Page(write_report(full_run)).words()


def test_worth_outside_of_the_curve_keeps_the_end_that_is_known(words):
    said = "With 24 real counterfeits, by AUROC: outside of the curve, on which no count gains as much"
    assert f"{said} (95 % interval: at least 1.2 times as many; 2 seeds)." in words


def test_unseen_kinds_with_their_intervals_and_counts(words):
    assert "font 17 9 alone 128 21" in words
    assert "61.2 % 50.0 to 70.0 65.5 % 55.0 to 75.0 +4.3 pp -1.1 to +9.7" in words
    assert "not defined 30.0 % 20.0 to 40.0 not defined" in words
    assert "mean of the kinds +3.4 pp +1.0 to +6.0 +2.1 pp -1.0 to +5.0" in words
    assert "Not held out: ink, which has 3 test images in a seed, fewer than 8." in words
