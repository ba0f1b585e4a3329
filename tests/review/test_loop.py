"""The loop closes: fit, predict, review in a real browser, export, fit again; all of them real processes."""

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from counterfeit.data.labels import write_labels
from counterfeit.detector.parity import TOLERANCE
from counterfeit.detector.scorer import Scorer
from counterfeit.export import export
from counterfeit.review.database import Database
from tests.quick import QUICK
from tests.review.server import PROJECT, Server

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
REAL = next((p / "shared" / "data" for p in Path(__file__).parents if (p / "shared" / "data").is_dir()), None)
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SHOTS = os.environ.get("COUNTERFEIT_SCREENSHOTS")  # a folder, to look at what the tests saw
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian, Ubuntu: apt install chromium)"),
    pytest.mark.skipif(importlib.util.find_spec("counterfeit.predict") is None, reason="needs the verb predict"),
]


def run(verb: str, *args: str | Path, cache: Path) -> str:
    command = [sys.executable, "-m", f"counterfeit.{verb}", *map(str, args)]
    environment = {**os.environ, "COUNTERFEIT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def drawn(folder: Path) -> None:
    """``known/`` to learn from, and ``new/`` whose truth only the moderator has."""
    write_labels(folder / "known", genuine=90, counterfeit=45, seed=0)
    write_labels(folder / "new", genuine=14, counterfeit=8, seed=7)


def magnetic_tile(folder: Path) -> None:
    if REAL is None:
        pytest.skip("the real sets (shared/data) are not beside the project")
    for label, counts in (("genuine", (90, 14)), ("counterfeit", (45, 8))):
        files = iter(sorted((REAL / "magnetic_tile" / label).glob("*.jpg")))
        for part, count in zip(("known", "new"), counts, strict=True):
            (folder / part / label).mkdir(parents=True)
            for _ in range(count):
                shutil.copy(next(files), folder / part / label)


def truth_of(new: Path) -> dict[str, str]:
    """Listings under neutral names, and their labels."""
    (new / "shop").mkdir()
    truth = {}
    for label in ("genuine", "counterfeit"):
        for number, file in enumerate(sorted((new / label).glob("*.jpg"))):
            name = f"shop/{number:03d}-{len(truth):03d}.jpg"
            file.rename(new / name)
            truth[name] = label
    for rest in ("genuine", "counterfeit", "masks"):
        shutil.rmtree(new / rest, ignore_errors=True)
    (new / "manifest.csv").unlink(missing_ok=True)
    return truth


def decide(page, truth: dict[str, str], by_keys: bool) -> None:
    """Decide the item that is shown as the truth is, and wait for what follows."""
    before, genuine = page.url, truth[page.locator(".path").inner_text()] == "genuine"
    if by_keys:
        for key in "g" if genuine else "f1":
            page.keyboard.press(key)
    elif genuine:
        page.get_by_role("button", name="Genuine").click()
    else:
        page.get_by_text("Counterfeit", exact=True).click()
        page.get_by_role("button", name="Lettering").click()
    page.wait_for_url(lambda url: url != before)


def waits(page, base: str) -> bool:
    """Go on; whether there is an item for this moderator."""
    page.goto(base)
    return page.get_by_role("heading", name="Nothing waits for you").count() == 0


def shoot(page, name: str) -> None:
    """Nothing is cut off at this width; a picture is kept where somebody wants to look."""
    page.wait_for_load_state("networkidle")
    assert page.locator(".photo img").first.evaluate("image => image.naturalWidth > 0")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def moderate(server: Server, truth: dict[str, str], name: str) -> None:
    """Two moderators at once, on a desktop by keys and on a phone by clicks, until nothing waits for either."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        anna, ben = (browser.new_context(viewport=size).new_page() for size in (DESKTOP, PHONE))
        anna.goto(server.links["anna"])
        ben.goto(server.links["ben"])
        shoot(anna, f"loop-{name}-desktop")
        shoot(ben, f"loop-{name}-phone")

        ben.goto(anna.url)
        decide(anna, truth, by_keys=True)
        ben.get_by_role("button", name="Unsure").click()
        ben.get_by_role("heading", name="Anna decided this item").wait_for()

        first, unsure = anna.url, anna.locator(".path").inner_text()
        decide(anna, truth, by_keys=True)
        anna.get_by_role("button", name="Undo").first.click()
        anna.wait_for_url(first)
        anna.keyboard.press("u")  # and so the other moderator is asked
        anna.wait_for_url(lambda url: url != first)

        pages, second = {anna: True, ben: False}, []
        while any(waits(page, server.base) for page in pages):
            for page, by_keys in pages.items():
                if waits(page, server.base):
                    if page.get_by_text("You are the second reviewer").count():
                        second.append(page.locator(".path").inner_text())
                    decide(page, truth, by_keys)
        assert unsure in second
        ben.goto(f"{server.base}/team")
        assert ben.get_by_role("row").filter(has_text="anna and ben").count() == 1
        browser.close()


def engines_agree(folder: Path, photographs: list[Path]) -> None:
    """The run's detector in torch and its export in ONNX Runtime say the same; of tiles there are over 500."""
    export(str(folder / "first"), str(folder / "export"))
    in_torch = Scorer.load(folder / "first", "torch").score(photographs)
    in_onnx = Scorer.load(folder / "export", "onnx").score(photographs)
    assert max(abs(a.probability - b.probability) for a, b in zip(in_torch, in_onnx, strict=True)) <= TOLERANCE
    assert [one.counterfeit for one in in_torch] == [one.counterfeit for one in in_onnx]


@pytest.mark.parametrize("make", [drawn, magnetic_tile])
def test_decisions_become_training_data(make, tmp_path):
    make(tmp_path)
    cache, known, new, scores = (tmp_path / name for name in ("cache", "known", "new", "scores"))
    truth = truth_of(new)
    run("fit", *QUICK, "--data.root", known, "--out", tmp_path / "first", cache=cache)
    run("predict", new, "--run", tmp_path / "first", "--out", scores, cache=cache)
    photographs = [new / path for path in truth]
    engines_agree(
        tmp_path, [*photographs, *REAL.glob("magnetic_tile/*/*.jpg")] if make is magnetic_tile else photographs
    )
    server = Server(scores, "--reviewers", "[anna, ben]", "--gold", "0", "--double", "0.2")
    try:
        moderate(server, truth, make.__name__)
    finally:
        server.stop(signal.SIGINT)
    assert "sound" in run("review", "verify", scores, cache=cache)

    run("review", "export", scores, cache=cache)
    with (scores / "decisions.csv").open(newline="") as file:
        decided = {row["path"].removeprefix("./"): row["label"] for row in csv.DictReader(file)}
    assert decided == truth

    more = tmp_path / "more"
    printed = run("review", "export", scores, "--photographs", more, cache=cache)
    assert f"next: python -m counterfeit.fit --data.root {more}" in printed
    run("fit", *QUICK, "--data.root", more, "--data.counterfeits=null", "--out", tmp_path / "second", cache=cache)
    rows = pq.read_table(tmp_path / "second" / "manifest.parquet").to_pylist()
    label = {row["path"]: row["label"] for row in rows}
    assert len(label) == 135 + len(truth)
    assert sum(path.startswith("decided/") for path in label) == len(truth)
    splits = pq.read_table(tmp_path / "second" / "splits.parquet").to_pylist()
    learned = [row["path"] for row in splits if row["split"] == "train" and row["path"].startswith("decided/")]
    assert {label[path] for path in learned} == {0, 1}
    assert json.loads((tmp_path / "second" / "comparison.json").read_text())["verdict"]
    assert Database(scores / "review.sqlite").get("scores")
