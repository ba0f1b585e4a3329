"""Run folders to report on: one with everything that a run can leave behind, one with nothing but the comparison."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from counterfeit.evaluation.compare import compare

KINDS = ("font", "reprint", "font+reprint")


def predictions(effect, seeds=3, images=160):
    """Three arms on the same test images; `effect` is what `synthetic` gains, in logits."""
    rng = np.random.default_rng(0)
    tables = []
    for seed in range(seeds):
        label = (np.arange(images) % 5 == 0).astype(int)
        shared = rng.normal(size=images) + 2 * label - 1
        for arm, dose, gain in (("real", 0.0, 0.0), ("transplant", 0.1, effect / 2), ("synthetic", 0.1, effect)):
            logit = shared + gain * label + 0.2 * rng.normal(size=images)
            columns = {
                "arm": [arm] * images,
                "dose": [dose] * images,
                "seed": [seed] * images,
                "path": [f"{seed}-{i:03d}.jpg" for i in range(images)],
                "group": [f"{seed}-{i // 2}" for i in range(images)],
                "kind": [KINDS[i % 3] if y else "" for i, y in enumerate(label)],
                "label": label,
                "score": 1 / (1 + np.exp(-logit)),
            }
            tables.append(pa.table(columns))
    return tables


def with_threshold(table):
    """The table as `read_cell` gives it: with the threshold that the cell's detector was given on validation."""
    return table.append_column("threshold", pa.array([0.6] * len(table)))


def finding(name, unit, word, value, reference):
    low, high = value - 0.1, value + 0.1
    return {
        "name": name, "unit": unit, "value": value, "low": low, "high": high, "reference": reference,
        "reference_name": "chance", "n": "123 test images, 2 seeds", "finding": word, "words": f"About {name}.",
    }  # fmt: skip


AUDITS = {
    "schema": 1,
    "seconds": 1.0,
    "audits": {
        "shortcuts": {
            "question": "Is there a shortcut?",
            "finding": "bad",
            "findings": [finding("metadata", "auroc", "bad", 0.8312, 0.5), finding("near", "share", "ok", 0.1, None)],
            "named": [["a.jpg", "<b.jpg>"]],
        },
        "leakage": {"question": "Is there a leak?", "finding": "ok", "findings": [], "named": []},
    },
}
LEARNING_CURVE = {
    "counts": [12, 24],
    "seeds": 2,
    "n_genuine": 128,
    "n_counterfeit": 32,
    "arms": {
        arm: {metric: [[v, v - 0.1, v + 0.1] for v in values] for metric in ("auroc", "recall_at_5pct_fpr")}
        for arm, values in (("real", (0.6, 0.7)), ("synthetic", (0.65, 0.72)))
    },
    "worth": [
        {"counterfeits": 12, "value": 2.1, "low": 1.4, "high": 3.2, "n": 2},
        {"counterfeits": 24, "value": 1.3, "low": 0.9, "high": None, "n": 2},
        {"counterfeits": 24, "metric": "auroc", "value": None, "low": 1.2, "high": None, "n": 2},
    ],
}
HOLDOUT = {
    "product": "synthetic", "dose": 0.1, "seeds": 2, "resamples": 100, "least_test": 8,
    "left_out": {"ink": "has 3 test images in a seed, fewer than 8"},
    "kinds": [
        {
            "kind": "font", "n_genuine": 128, "n_counterfeit": 17, "n_alone": 9, "n_learned": 21,
            "arms": {
                "real": {"auroc": [0.612, 0.5, 0.7], "recall_at_5pct_fpr": None},
                "synthetic": {"auroc": [0.655, 0.55, 0.75], "recall_at_5pct_fpr": [0.3, 0.2, 0.4]},
            },
            "differences": {
                "auroc": {"estimate": 0.043, "low": -0.011, "high": 0.097, "p": 0.1},
                "recall_at_5pct_fpr": dict.fromkeys(("estimate", "low", "high", "p")),
            },
        }
    ],
    "average": {
        "auroc": {"estimate": 0.021, "low": -0.01, "high": 0.05, "p": 0.2},
        "recall_at_5pct_fpr": {"estimate": 0.034, "low": 0.01, "high": 0.06, "p": 0.01},
    },
}  # fmt: skip
ROBUSTNESS = {
    "corruptions": [
        {
            "name": name, "arm": arm, "recall": [0.7, 0.6, 0.8], "fpr": [0.05, 0.02, None if name == "blur" else 0.09],
            "auroc": [0.9, 0.8, 1.0], "dose": 0.1, "n_seeds": 3, "n_genuine": 128, "n_counterfeit": 32,
        }
        for name in ("JPEG 30", "blur")
        for arm in ("real", "synthetic")
    ]
}  # fmt: skip


def gallery_entry(arm, error, number):
    return {
        "arm": arm, "dose": 0.1, "seed": 0, "path": f"{error}/{arm}.jpg", "group": "g", "label": int(error == "missed"),
        "kind": "font+reprint", "score": 0.25, "threshold": 0.5, "error": error, "image": f"{number}.png",
        "map": f"{number}.map.png",
    }  # fmt: skip


@pytest.fixture(scope="module")
def full_run(tmp_path_factory):
    """A run folder with everything that a run can leave behind."""
    run = tmp_path_factory.mktemp("full-run")
    tables = predictions(effect=1.5)
    for number, table in enumerate(tables):
        folder = run / "detector" / str(number // 3) / table["arm"][0].as_py() / str(table["dose"][0].as_py())
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "predictions.parquet")
    comparison = json.loads(compare(pa.concat_tables(map(with_threshold, tables)), resamples=200).to_json())
    comparison |= {"dose": 0.1, "dose_reason": "One standard error <rule> towards 0."}
    (run / "comparison.json").write_text(json.dumps(comparison))
    for seed in ("0", "1"):
        (run / "gan" / seed / "samples").mkdir(parents=True)
        lines = ["step,images,loss_generator,loss_discriminator,score_real,score_fake,diversity,kid,phase"]
        lines += [f"{i},{16 * i},{1 / i},{i / 9},0.5,-0.5,0.3,{0.1 if i == 5 else ''},warm" for i in range(1, 10)]
        (run / "gan" / seed / "metrics.csv").write_text("\n".join([*lines, "10,16"]))
        for step, shade in ((900, 10), (1000, 200)):
            Image.new("RGB", (16, 8), (shade, 0, 0)).save(run / "gan" / seed / "samples" / f"step_{step}.png")
        (run / "synthetic" / seed).mkdir(parents=True)
        counts = {"drawn": 500, "kept": 100, "rejected": {"support": 250, "label": 150}}
        (run / "synthetic" / seed / "provenance.json").write_text(json.dumps({"counterfeit": counts}))
    (run / "config.yaml").write_text("data:\n  root: <my photos>\n")
    (run / "env.json").write_text(json.dumps({"python": "3.11", "packages": {"torch": "2.6"}}))
    (run / "quarantine.csv").write_text("path,reason\na.jpg,truncated file\n")
    (run / "audits.json").write_text(json.dumps(AUDITS))
    (run / "learning_curve.json").write_text(json.dumps(LEARNING_CURVE))
    (run / "holdout.json").write_text(json.dumps(HOLDOUT))
    (run / "robustness.json").write_text(json.dumps(ROBUSTNESS))
    for seed in ("0", "1"):
        done = {"seed": int(seed), "attempt": 0, "healthy": seed == "0", "reason": "collapsed" if seed == "1" else None}
        (run / "gan" / seed / "done.json").write_text(json.dumps(done | {"images": 160}))
    (run / "gallery").mkdir()
    errors = [gallery_entry("synthetic", "missed", 0), gallery_entry("real", "false alarm", 1)]
    (run / "gallery" / "gallery.json").write_text(json.dumps({"schema": 1, "errors": errors}))
    for entry in errors:
        for name in (entry["image"], entry["map"]):
            Image.new("RGB", (16, 16), (90, 80, 70)).save(run / "gallery" / name)
    return run


@pytest.fixture
def bare_run(tmp_path):
    """A run folder with nothing but the comparison."""

    def make(effect):
        text = compare(pa.concat_tables(predictions(effect)), resamples=200).to_json()
        (tmp_path / "comparison.json").write_text(text)
        return tmp_path

    return make
