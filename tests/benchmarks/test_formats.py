"""Benchmarks of putting a detector to work write what the verbs read."""

import re

import numpy as np
import pyarrow.parquet as pq

from benchmarks.captures import KIND, share
from benchmarks.predict import writing
from benchmarks.review import KNOWN, make_scores
from counterfeit.data.transforms import KINDS_OF_CAPTURE
from counterfeit.detector.card import read_card
from counterfeit.detector.shards import SCHEMA
from counterfeit.evaluation.robustness import CORRUPTIONS
from counterfeit.review import known
from counterfeit.review.scored import read_scored


def test_the_benchmark_of_the_page_makes_scores_and_a_run_that_can_be_opened(tmp_path):
    scored = read_scored(make_scores(tmp_path, 3, seed=0))
    assert len(scored.rows) == 3 and scored.run is not None
    assert read_card(scored.run).captures == scored.card.captures
    assert len(known.tested_photographs(scored.run)) == KNOWN


def test_the_benchmark_of_scoring_writes_all_columns(tmp_path):
    assert writing(["a", "b"], tmp_path) > 0
    (row,) = pq.read_table(tmp_path / "scores/scores.parquet").slice(1).to_pylist()
    assert list(row) == SCHEMA.names
    assert [name for name, value in row.items() if value is None] == ["error"]


def test_every_corruption_but_marks_has_the_name_of_its_kind():
    assert set(CORRUPTIONS) - set(KIND) == {"overlay text"}
    assert set(KIND) <= set(CORRUPTIONS) and set(KIND.values()) == set(KINDS_OF_CAPTURE)


def test_a_share_is_the_mean_over_seeds_and_groups_are_drawn_whole():
    hits, groups = [np.array([True, True, False, False])] * 2, [np.array(["a", "a", "b", "b"])] * 2
    low, high = re.fullmatch(r"50\.0 \[(.+), (.+)\]", share(hits, groups)).groups()
    assert float(low) < 5 and float(high) > 95  # half of the draws have one group alone
    assert share([hit | True for hit in hits], groups) == "100.0 [15.8, 100.0]"  # two groups of two: 0.025 ** (1 / 2)
