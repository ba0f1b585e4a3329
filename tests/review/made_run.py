"""A run folder as ``fit`` leaves it, made in seconds: an untrained detector over a few photographs."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from safetensors.torch import save_file

from counterfeit.detector import Detector
from tests.review.conftest import photograph

FIRST = 5000  # number of the first photograph; scored ones start at 0


def make_run(folder: Path, count: int = 12) -> Path:
    """``count`` known photographs, every third a counterfeit, all of them tested."""
    root, run = folder / "known", folder / "run"
    cell = run / "detector" / "0" / "real" / "0"
    cell.mkdir(parents=True)
    rows = []
    for number in range(count):
        label = int(number % 3 == 0)
        path = f"{('genuine', 'counterfeit')[label]}/{number}.png"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        content = photograph(FIRST + number, 64)
        (root / path).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        rows.append({"path": path, "label": label, "group": f"g{number}", "kind": "", "sha256": digest})
    table = pa.Table.from_pylist([row | {"source": "real"} for row in rows])
    pq.write_table(table, run / "manifest.parquet")
    scores = [
        {"path": row["path"], "score": (number + 0.5) / count, "captured": ("as in training", "blurred")[number % 2]}
        for number, row in enumerate(rows)
    ]
    pq.write_table(pa.Table.from_pylist(scores), cell / "predictions.parquet")
    (run / "config.yaml").write_text(yaml.safe_dump({"data": {"root": str(root), "size": 64}}))
    torch.manual_seed(0)
    detector = Detector(size=64, bank=8, hidden=4)
    know_blank_images(detector)
    save_file({name: value.contiguous() for name, value in detector.state_dict().items()}, run / "detector.safetensors")
    card = {
        "arm": "real",
        "dose": 0.0,
        "seed": 0,
        "hyperparameters": {name: value for name, value in detector.hparams.items() if not name.startswith("_")},
        "operating_point": {"rule": "fpr<=0.05", "threshold": 0.5},
        "bands": {"genuine_below": 0.3, "counterfeit_from": 0.7},
        "calibration": [],
        "captures": ["as in training", "blurred"],
        "sha256": hashlib.sha256((run / "detector.safetensors").read_bytes()).hexdigest(),
    }
    (run / "detector.json").write_text(json.dumps(card))
    return run


def know_blank_images(detector: Detector) -> None:
    """Take blank images for all that is genuine, beside which every photograph is evidence."""
    blank = torch.linspace(0.3, 0.7, 8).view(-1, 1, 1, 1).expand(-1, 3, detector.size, detector.size)
    with torch.inference_mode():
        _, patches = detector.backbone(blank)
        one_fold = torch.zeros(len(patches), dtype=torch.long)
        detector.distances.absolute.fit(patches, one_fold, torch.Generator().manual_seed(0))
        distances = detector.distances(patches)
        detector.evidence.standardise_to(detector.located(distances, *detector.patch_logits(patches, distances)))
