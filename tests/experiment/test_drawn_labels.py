"""The drawn labels are neither trivial nor hopeless for the detector that knows 16 of their counterfeits."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from counterfeit.evaluation.metrics import recall_at_fpr
from counterfeit.fit import main


@pytest.mark.slow
def test_recall_with_16_counterfeits_leaves_room_on_both_sides(tmp_path: Path) -> None:
    cache = os.environ.get("COUNTERFEIT_CACHE", str(tmp_path / "cache"))
    options = ["--experiment.arms=[real]", "--seeds=[0,1,2]", "--stages=[data,detector]", f"--data.cache={cache}"]
    assert main([*options, "--out", str(tmp_path / "run")]) == 0
    recalls = []
    for path in sorted((tmp_path / "run").glob("detector/*/real/0/predictions.parquet")):
        table = pq.read_table(path)
        recalls.append(recall_at_fpr(table["label"].to_numpy(), table["score"].to_numpy(), 0.05))
    assert len(recalls) == 3
    assert 0.3 < np.mean(recalls) < 0.8, recalls
