"""The model card: fields that the Hugging Face hub reads, where the figures come from, and what is not known."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from counterfeit.detector.engine import Outputs
from counterfeit.evaluation.comparison import Comparison
from counterfeit.report.model_card import model_card

RATE = {"estimate": 0.5, "low": 0.1, "high": 0.9}
CARD = {
    "arm": "synthetic", "dose": 0.1, "seed": 1, "hyperparameters": {"size": 96, "backbone": "tf_efficientnet_lite0"},
    "operating_point": {"rule": "fpr<=0.05", "threshold": 0.25, "n_genuine": 40, "n_counterfeit": 9, "recall": RATE,
                        "fpr": RATE},
    "bands": {"genuine_below": 0.125, "counterfeit_from": 0.75, "alpha": 0.1, "n": 49},
    "calibration": [{"low": 0.0, "high": 1.0, "n": 49, "counterfeits": 9}],
    "captures": ["as in training"],
}  # fmt: skip


def write_splits(run):
    """Seed 1 has three training images, one of them a counterfeit, and a test image; seed 0 has another split."""
    rows = [("a", 0, "train", "test"), ("b", 0, "train", "test"), ("c", 1, "train", "test"), ("d", 0, "test", "train")]
    pq.write_table(pa.table({"path": [r[0] for r in rows], "label": [r[1] for r in rows]}), run / "manifest.parquet")
    splits = [{"seed": seed, "path": r[0], "split": r[3 - seed]} for seed in (0, 1) for r in rows]
    pq.write_table(pa.Table.from_pylist(splits), run / "splits.parquet")


def front_matter(card):
    _, head, body = card.split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_hub_finds_its_fields_and_the_metrics_of_the_arm(full_run):
    fields, body = front_matter(model_card(full_run, CARD, "They agree.", "timm/tf_efficientnet_lite0.in1k"))
    assert fields["library_name"] == "onnx" and fields["pipeline_tag"] == "image-classification"
    assert fields["base_model"] == "timm/tf_efficientnet_lite0.in1k"
    (model,) = fields["model-index"]
    (result,) = model["results"]
    levels = next(
        arm.levels
        for arm in Comparison.from_json((full_run / "comparison.json").read_text()).arms
        if (arm.arm, arm.dose) == ("synthetic", 0.1)
    )
    assert {m["type"]: m["value"] for m in result["metrics"]} == {
        name: pytest.approx(level.estimate) for name, level in levels.items()
    }
    auroc = levels["auroc"]
    assert f"| AUROC | {auroc.estimate:.3f} | [{auroc.low:.3f}, {auroc.high:.3f}] |" in body
    for section in ("How to get started", "Intended use", "Forbidden use", "Limitations", "Data", "Metrics", "Files"):
        assert f"\n## {section}\n" in body
    assert "Operating point: 0.2500, chosen by `fpr<=0.05` on 40 genuine and 9 counterfeit" in body
    assert all(f"`{name}`" in body for name in Outputs._fields)
    assert "at 96 pixels" in body and body.endswith("They agree.\n")


def test_the_images_are_those_of_the_detectors_own_split(tmp_path):
    write_splits(tmp_path)
    (tmp_path / "config.yaml").write_text("data:\n  root: my_photos\n")
    body = model_card(tmp_path, CARD, "")
    assert "| train | 2 | 1 |\n| validation | 0 | 0 |\n| test | 1 | 0 |" in body
    assert "Real photographs" in body and "drawn" not in body


def test_drawn_labels_are_not_called_photographs(tmp_path):
    write_splits(tmp_path)
    (tmp_path / "config.yaml").write_text("data:\n  drawn_genuine: 160\n")
    body = model_card(tmp_path, CARD, "")
    assert "drawn by `counterfeit`: no photographs" in body and "Real photographs" not in body


def test_what_the_folder_lacks_is_said_to_be_unknown(tmp_path):
    fields, body = front_matter(model_card(tmp_path, CARD, ""))
    assert "model-index" not in fields
    assert "Unknown: the run folder was not at hand." in body and "Not measured." in body
    other = json.dumps(CARD | {"arm": "mixup"})
    assert "Not measured." in model_card(tmp_path, json.loads(other), "")
