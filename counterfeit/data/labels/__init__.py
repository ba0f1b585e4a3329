"""Drawn labels: photographs of labels of invented brands, genuine and counterfeit, in any number, without a download.

A brand is a specification (`brands`). A counterfeit breaks it in one or two ways (`deviations`). Both are drawn flat
(`artwork`, lettered by `strokes`, on the materials of `texture`) and then worn and photographed alike (`capture`).
"""

from counterfeit.data.labels.deviations import DEVIATIONS
from counterfeit.data.labels.draw import DrawnLabel, draw_label
from counterfeit.data.labels.write import write_labels

KINDS: tuple[str, ...] = tuple(DEVIATIONS)
"""The ways in which a drawn counterfeit deviates."""

__all__ = ["KINDS", "DrawnLabel", "draw_label", "write_labels"]
