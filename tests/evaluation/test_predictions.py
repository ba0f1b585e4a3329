"""A run folder's predictions, with the threshold that each cell decided by."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from counterfeit.errors import UserError
from counterfeit.evaluation.predictions import read_predictions


@pytest.fixture
def run(tmp_path):
    for arm, threshold in (("real", 0.25), ("synthetic", 0.75)):
        cell = tmp_path / "detector" / "0" / arm / "0"
        cell.mkdir(parents=True)
        pq.write_table(pa.table({"arm": [arm] * 2, "score": [0.1, 0.9]}), cell / "predictions.parquet")
        save_file({"combination.threshold": np.array(threshold, np.float32)}, cell / "heads.safetensors")
    return tmp_path


def test_thresholds_come_from_the_stored_detectors(run):
    table = read_predictions(run).to_pydict()
    assert dict(zip(table["arm"], table["threshold"], strict=True)) == {"real": 0.25, "synthetic": 0.75}


def test_a_column_of_thresholds_comes_first(run):
    file = run / "detector" / "0" / "real" / "0" / "predictions.parquet"
    pq.write_table(pa.table({"arm": ["real"], "score": [0.1], "threshold": [0.5]}), file)
    assert read_predictions(run)["threshold"].to_pylist() == [0.5, 0.75, 0.75]


def test_without_a_detector_no_threshold_is_known(run):
    for heads in run.glob("**/heads.safetensors"):
        heads.unlink()
    assert read_predictions(run)["threshold"].null_count == 4


def test_what_cannot_be_read_is_one_line(run, tmp_path):
    with pytest.raises(UserError, match="holds no predictions"):
        read_predictions(tmp_path / "elsewhere")
    (run / "detector" / "0" / "real" / "0" / "predictions.parquet").write_text("cut sh")
    with pytest.raises(UserError, match="cannot be read: remove it"):
        read_predictions(run)
