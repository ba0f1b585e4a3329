"""How fast the moderators' page answers with 10 000 items: a real server, one request after the other.

    python benchmarks/review.py --items 10000 --requests 300

The items are drawn pictures with random scores; the run behind them is an untrained detector over 400 known
photographs, so that every item page also computes features and finds its neighbours. Half of the item pages open
items that nobody has opened before; then the features are computed, too. Every time is taken at the client, over
one connection, and includes decoding the answer.
"""

import argparse
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from counterfeit.detector import Detector

SIDE = 640  # pixels of a photograph
KNOWN = 400
MEANING = {
    "operating_point": {"rule": "fpr<=0.05", "threshold": 0.6},
    "bands": {"genuine_below": 0.3, "counterfeit_from": 0.6},
    "calibration": [{"low": 0.0, "high": 1.0, "n": 300, "counterfeits": 70}],
    "captures": ["as in training", "JPEG"],
}


def main() -> None:
    """Parse the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=300, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scores = make_scores(Path(folder), args.items, args.seed)
        start = time.perf_counter()
        process, link = serve(scores)
        try:
            opened = time.perf_counter() - start
            print(f"{args.items} items, {KNOWN} references, seed {args.seed}; opened in {opened:.0f} s")
            measure(link, args.items, args.requests, np.random.default_rng(args.seed))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


def make_scores(folder: Path, items: int, seed: int) -> Path:
    """A run and a scores folder as the verbs write them."""
    generator = np.random.default_rng(seed)
    run, out = folder / "run", folder / "scores"
    known = photographs(folder / "known", KNOWN, generator)
    labels = [int(i % 4 == 0) for i in range(KNOWN)]
    cell = run / "detector/0/real/0"
    cell.mkdir(parents=True)
    out.mkdir()
    rows = [
        {"path": path, "sha256": digest, "label": label, "source": "real"}
        for (path, digest), label in zip(known, labels, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), run / "manifest.parquet")
    tested = [{"path": path, "score": float(generator.random()), "captured": "JPEG"} for path, _ in known]
    pq.write_table(pa.Table.from_pylist(tested), cell / "predictions.parquet")
    (run / "config.yaml").write_text(yaml.safe_dump({"data": {"root": str(folder / "known")}}))
    detector = Detector()
    save_file({name: value.contiguous() for name, value in detector.state_dict().items()}, run / "detector.safetensors")
    card = {"arm": "real", "dose": 0.0, "seed": 0, "hyperparameters": dict(detector.hparams)}
    card |= MEANING | {"sha256": hashlib.sha256((run / "detector.safetensors").read_bytes()).hexdigest()}
    (run / "detector.json").write_text(json.dumps(card))
    write_scores(folder, out, run, photographs(folder / "photos", items, generator), generator.beta(0.6, 2, items))
    return out


def write_scores(
    folder: Path,
    out: Path,
    run: Path,
    photos: list[tuple[str, str]],
    scores: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    """``scores.parquet`` and ``scores.json``."""
    rows = [
        {
            "path": path,
            "sha256": digest,
            "status": "ok",
            "error": "",
            "score": score,
            "band": "",
            "counterfeit": score > 0.6,
            "captured": "JPEG",
        }
        for (path, digest), score in zip(photos, scores.tolist(), strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), out / "scores.parquet")
    card = {
        "run": str(run),
        "root": str(folder / "photos"),
        "detector_sha256": hashlib.sha256((run / "detector.safetensors").read_bytes()).hexdigest(),
    }
    (out / "scores.json").write_text(json.dumps(card | MEANING))


def photographs(root: Path, count: int, generator: np.random.Generator) -> list[tuple[str, str]]:
    """Smooth random pictures of ``SIDE`` pixels: path and SHA-256."""
    root.mkdir()
    made = []
    for number in range(count):
        small = generator.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
        path = f"{number:06d}.jpg"
        (root / path).write_bytes(buffer.getvalue())
        made.append((path, hashlib.sha256(buffer.getvalue()).hexdigest()))
    return made


def serve(scores: Path) -> tuple["subprocess.Popen[str]", str]:
    """The page in a process of its own, and the link to it."""
    command = [sys.executable, "-m", "counterfeit.review", str(scores), "--port", "0", "--reviewers", "[anna]"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    link = next(line for line in process.stdout if "enter?token=" in line).partition(": ")[2].strip()
    return process, link


def measure(link: str, items: int, requests: int, generator: np.random.Generator) -> None:
    """Print median, 95th percentile and maximum of each kind of request, in milliseconds."""
    with httpx.Client(base_url=link.partition("/enter")[0], follow_redirects=True) as client:
        page = client.get(link)
        found = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert found
        fields = {"form_token": found[1], "version": "0", "choice": "counterfeit/print"}
        fresh = generator.permutation(np.arange(1, items + 1))[:requests]
        pages = [generator.integers(1, max(2, items // 50)) for _ in range(requests)]
        print(f"{'request':<34}{'n':>6}{'median':>9}{'p95':>9}{'max':>9}  ms")
        report("item, not seen before", [timed(client, f"/item/{i}") for i in fresh])
        report("item, seen before", [timed(client, f"/item/{i}") for i in fresh])
        report("its photograph, 1600 px", [timed(client, f"/photo/{i}/large") for i in fresh])
        report("queue, a random page", [timed(client, f"/queue?page={i}") for i in pages])
        report("team", [timed(client, "/team") for _ in range(requests)])
        report("heat map", [timed(client, f"/heat/{i}") for i in fresh[: requests // 3]])
        report("decision and the next item's page", [decision(client, fields) for _ in range(requests)])


def timed(client: httpx.Client, path: str) -> float:
    """Seconds until the whole answer is there; the page's own limit of the rate is kept by waiting."""
    time.sleep(0.03)
    start = time.perf_counter()
    answer = client.get(path)
    seconds = time.perf_counter() - start
    assert answer.status_code == 200, (path, answer.status_code)
    return seconds


def decision(client: httpx.Client, fields: dict[str, str]) -> float:
    """Seconds from sending a decision to having the next item's page; the first page is not counted."""
    page = client.get("/")
    time.sleep(0.12)
    start = time.perf_counter()
    answer = client.post(f"{page.url.path}/decide", data=fields)
    seconds = time.perf_counter() - start
    assert answer.status_code == 200, answer.text
    return seconds


def report(name: str, seconds: list[float]) -> None:
    """One line of the table."""
    values = 1000 * np.array(seconds)
    median, high = np.percentile(values, [50, 95])
    print(f"{name:<34}{len(values):>6}{median:>9.1f}{high:>9.1f}{values.max():>9.1f}")


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
