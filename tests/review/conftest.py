"""Scores folders in the shape that ``predict`` writes, with photographs small enough to make hundreds."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from starlette.testclient import TestClient

from counterfeit.review.access import issue_token
from counterfeit.review.app import make_app
from counterfeit.review.desk import Desk, set_up
from counterfeit.review.fill import Policy
from counterfeit.review.scored import read_scored

BINS = [
    {"low": 0.0, "high": 0.3, "n": 90, "counterfeits": 4},
    {"low": 0.3, "high": 0.6, "n": 40, "counterfeits": 17},
    {"low": 0.6, "high": 0.9, "n": 212, "counterfeits": 148},
    {"low": 0.9, "high": 1.0, "n": 0, "counterfeits": 0},
]


def photograph(number: int, side: int = 48, kind: str = "PNG") -> bytes:
    """A picture of its own for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def band_of(score: float) -> str:
    return "likely genuine" if score < 0.3 else "likely counterfeit" if score >= 0.6 else "unclear"


def write_scores(
    folder: Path,
    scores: Sequence[float | None],
    names: Sequence[str] | None = None,
    run: Path | None = None,
    captured: str = "as in training",
) -> Path:
    """A scores folder with one photograph a score; ``None`` is an input that could not be scored."""
    root, out = folder / "photos", folder / "scores"
    root.mkdir(parents=True)
    out.mkdir()
    rows = []
    for number, score in enumerate(scores):
        name = names[number] if names else f"shop/item-{number:04d}.png"
        content = photograph(number)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if "\0" not in name and len(name) < 256:  # or no file can have it
            (root / name).write_bytes(content)
        rows.append(
            {
                "path": name,
                "sha256": hashlib.sha256(content).hexdigest(),
                "status": "error" if score is None else "ok",
                "error": "truncated" if score is None else None,
                "score": score,
                "band": None if score is None else band_of(score),
                "counterfeit": None if score is None else score >= 0.6,
                "captured": None if score is None else captured,
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), out / "scores.parquet")
    card = {
        "run": str(run or folder / "no-run"),
        "detector_sha256": json.loads((run / "detector.json").read_text())["sha256"] if run else "ab" * 32,
        "root": str(root),
        "engine": "onnx",
        "operating_point": {"rule": "fpr<=0.05", "threshold": 0.6, "n": 100},
        "bands": {"genuine_below": 0.3, "counterfeit_from": 0.6, "alpha": 0.1, "n": 100},
        "calibration": BINS,
        "captures": ["as in training", "blurred"],
        "counts": {},
        "versions": {},
    }
    (out / "scores.json").write_text(json.dumps(card))
    return out


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Desk]:
    """Opens a review of some scores: ``opened([0.9, 0.2], reviewers=["anna"])``."""

    def make(
        scores: Sequence[float | None], names: Sequence[str] | None = None, captured: str = "as in training", **policy
    ) -> Desk:
        folder = write_scores(tmp_path, scores, names, captured=captured)
        return set_up(read_scored(folder), Policy(**{"reviewers": ["anna", "ben"], "double": 0.0, **policy}))

    return make


class Moderator:
    """A browser without a screen: one session, and the forms that its pages hold."""

    def __init__(self, client: TestClient, form_token: str) -> None:
        self.client, self.form_token = client, form_token

    def get(self, path: str):
        return self.client.get(path)

    def post(self, path: str, **fields: str):
        return self.client.post(path, data={"form_token": self.form_token, **fields}, follow_redirects=False)


def newcomer(desk: Desk, **options) -> TestClient:
    """Somebody who has not entered."""
    return TestClient(make_app(desk, **options), base_url="http://127.0.0.1:8340", headers={"accept": "text/html"})


def enter(desk: Desk, reviewer: str, **options) -> Moderator:
    client = newcomer(desk, **options)
    answer = client.get(f"/enter?token={issue_token(desk.db, reviewer)}")
    assert answer.status_code == 200
    token = desk.db.reading().execute(
        "SELECT form_token FROM session WHERE reviewer = ? ORDER BY until DESC", (reviewer,)
    )
    return Moderator(client, token.fetchone()[0])
