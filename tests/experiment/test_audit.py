"""The audits of a whole run; and nothing on the training side knows the test split, shown by poisoning it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from counterfeit.data.labels import write_labels
from counterfeit.fit import main

TINY = [
    "--data.counterfeits=12", "--data.views=1", "--trainer.max_epochs=1", "--model.bank=64", "--gan.kimg=0.064",
    "--gan.pool=32", "--synthesis.count=8", "--synthesis.overdraw=3", "--experiment.resamples=50",
    "--experiment.arms=[real,synthetic]", "--seeds=[0]",
]  # fmt: skip


def run(root: Path, cache: Path, out: Path, *options: str) -> Path:
    assert main([*TINY, f"--data.root={root}", f"--data.cache={cache}", f"--out={out}", *options]) == 0
    return out


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    base = tmp_path_factory.mktemp("poison")
    write_labels(base / "labels", genuine=90, counterfeit=45, size=128, seed=0)
    return base / "labels", base / "cache", run(base / "labels", base / "cache", base / "clean")


def banks(out: Path) -> list[str]:
    return pq.read_table(out / "synthetic/0/manifest.parquet")["sha256"].to_pylist()


@pytest.mark.slow
def test_a_poisoned_test_split_changes_neither_the_bank_nor_the_detector(clean, tmp_path) -> None:
    root, cache, before = clean
    poisoned = tmp_path / "labels"
    shutil.copytree(root, poisoned)
    splits = pq.read_table(before / "splits.parquet").to_pylist()
    test = [row["path"] for row in splits if row["split"] == "test"]
    rng = np.random.default_rng(0)
    for path in test:
        Image.fromarray(rng.integers(0, 255, (128, 128, 3), np.uint8)).save(poisoned / path)
    after = run(poisoned, cache, tmp_path / "poisoned", "--stages=[data,gan,synthesis,detector]")
    assert banks(after) == banks(before)
    for name in ("gan/0/gan.safetensors", "detector/0/real/0/heads.safetensors"):
        assert (after / name).read_bytes() == (before / name).read_bytes(), name
    (heads,) = after.glob("detector/0/synthetic/*/heads.safetensors")
    assert heads.read_bytes() == (before / heads.relative_to(after)).read_bytes()
    scores = [
        pq.read_table(out / "detector/0/real/0/predictions.parquet")["score"].to_pylist() for out in (before, after)
    ]
    assert scores[0] != scores[1]  # the poison did arrive


@pytest.mark.slow
def test_a_poisoned_training_split_is_noticed(clean, tmp_path) -> None:
    """The test above could not fail if nothing ever changed the bank."""
    root, cache, before = clean
    poisoned = tmp_path / "labels"
    shutil.copytree(root, poisoned)
    splits = pq.read_table(before / "splits.parquet").to_pylist()
    for path in [row["path"] for row in splits if row["split"] == "train"][:20]:
        Image.open(poisoned / path).convert("RGB").rotate(180).save(poisoned / path)
    after = run(poisoned, cache, tmp_path / "poisoned", "--stages=[data,gan,synthesis]")
    assert banks(after) != banks(before)


@pytest.mark.slow
def test_a_run_leaves_its_audits(clean) -> None:
    *_, out = clean
    written = json.loads((out / "audits.json").read_text())
    assert list(written["audits"]) == ["fidelity", "leakage", "memorisation", "shortcuts"]
    page = (out / "report.html").read_text()
    for name, audit in written["audits"].items():
        assert audit["finding"] in ("ok", "look", "bad")
        assert audit["question"].endswith("?")
        for found in audit["findings"]:
            assert found["n"], (name, found["name"])
            assert found["words"].endswith((".", ")"))
            assert found["value"] is None or found["low"] <= found["value"] <= found["high"]
        shown = page.split(f"<h3>{name}: ")[1].split("<h3>")[0]
        assert shown.count("<figure>") == shown.count("<figcaption>n: "), name
        assert ("<figure>" in shown) == bool(audit["findings"]), name
    exact = [
        f for f in written["audits"]["leakage"]["findings"] if f["reference"] == 0 and f["name"].startswith("groups")
    ]
    assert [f["finding"] for f in exact] == ["ok"]
