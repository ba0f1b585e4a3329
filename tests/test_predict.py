"""Scores of awkward inputs: a row for each, the same from a table, an export and torch."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from counterfeit.data.labels import write_labels
from counterfeit.detector import Detector
from counterfeit.export import main as export
from counterfeit.predict import main

RATE = {"estimate": 0.5, "low": 0.1, "high": 0.9}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    detector = Detector(size=64, folds=2, bank=16, hidden=4)
    torch.nn.init.normal_(detector.bank.entries)
    save_file({k: v.contiguous() for k, v in detector.state_dict().items()}, folder / "detector.safetensors")
    point = {"rule": "fpr<=0.05", "threshold": 0.5, "n": 2, "n_genuine": 1, "n_counterfeit": 1}
    card = {
        "arm": "real", "dose": 0.0, "seed": 0, "hyperparameters": {"size": 64, "folds": 2, "bank": 16, "hidden": 4,
        "backbone": "tf_efficientnet_lite0"}, "operating_point": {**point, "recall": RATE, "fpr": RATE},
        "bands": {"genuine_below": 0.3, "counterfeit_from": 0.7, "alpha": 0.1, "n": 2}, "calibration": [],
        "sha256": hashlib.sha256((folder / "detector.safetensors").read_bytes()).hexdigest(),
    }  # fmt: skip
    (folder / "detector.json").write_text(json.dumps(card))
    return folder


@pytest.mark.slow
def test_export_and_predict_agree_without_torch(run: Path, tmp_path: Path) -> None:
    assert export(["--run", str(run), "--out", str(tmp_path / "a")]) == 0
    assert export(["--run", str(run), "--out", str(tmp_path / "b")]) == 0
    assert (tmp_path / "a/detector.onnx").read_bytes() == (tmp_path / "b/detector.onnx").read_bytes()
    write_labels(tmp_path / "photos", genuine=3, counterfeit=2, size=64)
    (tmp_path / "photos/broken.jpg").write_bytes(b"no image")
    rest = ["--workers", "0", "--cache", str(tmp_path / "cache")]
    code = (
        "import sys; from counterfeit.predict import main; code = main(sys.argv[1:]);"
        " assert 'torch' not in sys.modules; sys.exit(code)"
    )
    command = [str(tmp_path / "photos"), "--run", str(tmp_path / "a"), "--out", str(tmp_path / "onnx"), *rest]
    subprocess.run([sys.executable, "-c", code, *command, "--engine", "onnx"], check=True)
    options = ["--run", str(run), "--out", str(tmp_path / "torch"), "--engine", "torch", *rest]
    assert main([str(tmp_path / "photos"), *options]) == 0
    ours, theirs = (pq.read_table(tmp_path / name / "scores.parquet").to_pylist() for name in ("torch", "onnx"))
    assert [row["status"] for row in ours].count("error") == 1 and len(ours) == 8  # masks too
    for a, b in zip(ours, theirs, strict=True):
        assert a == {**b, "score": a["score"]}
        assert a["score"] == (None if b["score"] is None else pytest.approx(b["score"], abs=1e-4))
    assert main([str(tmp_path / "photos"), *options]) == 2  # finished scores stay
