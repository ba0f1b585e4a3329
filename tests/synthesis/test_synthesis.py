import dataclasses
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from counterfeit.synthesis import Bank, Gates, choose_hard, fit_gates, read_bank, write_bank
from counterfeit.synthesis.bank import DigitalSource
from counterfeit.synthesis.choose import farthest_points

GATES = Gates(support=(1.0, 2.0), plainly_genuine=0.0, plainly_counterfeit=3.0, novelty=2.0)


@pytest.mark.parametrize(
    ("label", "nearest", "score", "change", "reason"),
    [
        (1, 1.5, 1.0, 5.0, ""),
        (0, 1.5, 1.0, 5.0, "support"),
        (1, 2.5, 1.0, 5.0, "support"),
        (1, 0.5, -1.0, 5.0, "label"),
        (0, 0.5, 4.0, 5.0, "label"),
        (0, 0.5, -1.0, 5.0, ""),
        (1, 0.5, 1.0, 1.0, "novelty"),
    ],
)
def test_a_bad_candidate_is_named_by_its_reason(
    label: int, nearest: float, score: float, change: float, reason: str
) -> None:
    found = GATES.apply(np.array([label]), np.array([nearest]), np.array([score]), np.array([change]))
    assert found.tolist() == [reason]


def test_real_images_pass_the_gates_fitted_on_them() -> None:
    generator = np.random.default_rng(0)
    label = np.r_[np.zeros(200, int), np.ones(50, int)]
    features, score = generator.normal(size=(250, 8)), generator.normal(size=250) + 4 * label
    gates = fit_gates(features, score, label, np.arange(250).astype(str))
    assert gates.plainly_genuine == pytest.approx(np.median(score[:200]))
    assert (score[200:] > gates.plainly_genuine).mean() > 0.95
    assert 0 < gates.support[0] < 10


def test_a_class_of_one_group_sets_no_limit() -> None:
    gates = fit_gates(np.random.default_rng(0).normal(size=(9, 3)), np.arange(9.0), np.r_[np.zeros(6, int), 1, 1, 1],
                      np.array([*"abcdef", "g", "g", "g"]))  # fmt: skip
    assert gates.support[1] == np.inf


def test_the_doubtful_are_dropped_the_hard_preferred_and_the_count_is_kept() -> None:
    doubt = np.random.default_rng(2).permutation(200).astype(float)
    hardness = np.arange(200.0)
    features = np.random.default_rng(0).normal(size=(200, 4))
    kept = choose_hard(doubt, hardness, features, 60, 0.5, np.random.default_rng(1))
    assert len(np.unique(kept)) == 60
    assert doubt[kept].max() < 190
    assert hardness[kept].mean() > hardness.mean()


def test_farthest_points_reach_every_cluster() -> None:
    centres = np.repeat(np.arange(10.0)[:, None] * 100, 20, axis=0)
    features = np.hstack([centres, np.random.default_rng(0).normal(size=(200, 1))])
    chosen = farthest_points(features, 10, np.random.default_rng(0))
    assert len(np.unique(centres[chosen])) == 10


def bank() -> Bank:
    generator = np.random.default_rng(0)
    return Bank(
        pixels=generator.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8),
        masks=generator.integers(0, 256, (3, 32, 32), dtype=np.uint8),
        label=np.array([1, 1, 0]),
        host=np.array(["genuine/a.jpg"] * 3),
        donor=np.array(["counterfeit/b.jpg", "counterfeit/c.jpg", "genuine/d.jpg"]),
        scores={"score": np.array([0.1, 0.2, 0.3])},
    )


def test_a_bank_is_read_back_as_written(tmp_path: Path) -> None:
    write_bank(tmp_path / "bank", bank(), {"drawn": 9}, "trainedAlgorithmicMedia")
    read = read_bank(tmp_path / "bank")
    for name in ("pixels", "masks", "label", "host", "donor"):
        assert np.array_equal(getattr(read, name), getattr(bank(), name)), name
    assert read.scores["score"].tolist() == [0.1, 0.2, 0.3]
    assert json.loads((tmp_path / "bank" / "provenance.json").read_text()) == {"drawn": 9}
    assert set(pq.read_table(tmp_path / "bank" / "manifest.parquet")["split"].to_pylist()) == {"train"}


@pytest.mark.parametrize("source", get_args(DigitalSource))
def test_a_changed_image_carries_its_mark_and_a_plain_photograph_none(tmp_path: Path, source: DigitalSource) -> None:
    marked = bank()
    marked.masks[2] = 0
    write_bank(tmp_path / "bank", marked, {}, source)
    with Image.open(tmp_path / "bank" / "counterfeit_00000.png") as image:
        assert f"digitalsourcetype/{source}" in image.info["XML:com.adobe.xmp"]
    with Image.open(tmp_path / "bank" / "genuine_00002.png") as image:
        assert "XML:com.adobe.xmp" not in image.info


def test_a_bank_that_nothing_entered_is_read_back_empty(tmp_path: Path) -> None:
    full, nothing = bank(), np.zeros(0, np.intp)
    columns = {name: getattr(full, name)[nothing] for name in ("pixels", "masks", "label", "host", "donor")}
    write_bank(tmp_path / "bank", Bank(**columns, scores={"score": np.zeros(0)}), {"kept": 0}, "compositeCapture")
    assert len(read_bank(tmp_path / "bank")) == 0


def test_a_half_written_bank_is_no_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pq, "write_table", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_bank(tmp_path / "bank", bank(), {}, "trainedAlgorithmicMedia")
    assert not (tmp_path / "bank").exists()


def test_a_composite_that_was_not_refined_is_not_marked_as_made_by_a_model(tmp_path: Path) -> None:
    scores = {"refined": np.array([1.0, 0.0, 0.0]), "anomaly": np.array([0.0, 1.0, 0.0])}
    write_bank(tmp_path / "bank", dataclasses.replace(bank(), scores=scores), {}, "trainedAlgorithmicMedia")
    origins = {
        "counterfeit_00000": "trainedAlgorithmicMedia",
        "counterfeit_00001": "composite",
        "genuine_00002": "compositeCapture",
    }
    for name, origin in origins.items():
        with Image.open(tmp_path / "bank" / f"{name}.png") as image:
            assert f"digitalsourcetype/{origin}" in image.info["XML:com.adobe.xmp"]
