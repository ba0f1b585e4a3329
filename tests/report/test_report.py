"""The report is written from the run folder alone, needs no network, and says what came out in its first heading."""

import json
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from counterfeit.errors import UserError
from counterfeit.evaluation.compare import compare
from counterfeit.report.figures import Curve, curves, forest
from counterfeit.report.html import write_report

KINDS = ("font", "reprint")


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
                "kind": [KINDS[i % 2] if y else "" for i, y in enumerate(label)],
                "label": label,
                "score": 1 / (1 + np.exp(-logit)),
            }
            tables.append(pa.table(columns))
    return tables


@pytest.fixture(scope="module")
def full_run(tmp_path_factory):
    """A run folder with everything that a run can leave behind."""
    run = tmp_path_factory.mktemp("full-run")
    tables = predictions(effect=1.5)
    for number, table in enumerate(tables):
        folder = run / "detector" / str(number // 3) / table["arm"][0].as_py() / str(table["dose"][0].as_py())
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "predictions.parquet")
    comparison = json.loads(compare(pa.concat_tables(tables), resamples=200).to_json())
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
    (run / "audit.json").write_text(json.dumps({"metadata_null": {"auroc": 0.5312}}))
    return run


@pytest.fixture
def bare_run(tmp_path):
    """A run folder with nothing but the comparison."""

    def make(effect):
        text = compare(pa.concat_tables(predictions(effect)), resamples=200).to_json()
        (tmp_path / "comparison.json").write_text(text)
        return tmp_path

    return make


class Page(HTMLParser):
    """Tags with their attributes, text by heading level, and tables."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.open, self.text, self.order = [], [], {}, []
        self.source = path.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "source", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.text.setdefault(self.open[-1], []).append(" ".join(data.split()))
            self.order += data.split() if self.open[-1] != "style" else []

    def words(self):
        return " ".join(self.order)

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(full_run):
    return Page(write_report(full_run))


def test_the_verdict_comes_first(page):
    assert page.text["h1"] == ["Synthetic counterfeits helped"]
    assert any("VERDICT: HELPS" in text for text in page.text["p"])
    assert page.source.index("VERDICT") < page.source.index("<h2>")
    assert "3 seeds, 160 test images" in page.words()
    assert page.open == []


@pytest.mark.parametrize(
    ("effect", "heading"),
    [(0.0, "No evidence that synthetic counterfeits help"), (-1.8, "Synthetic counterfeits hurt")],
)
def test_the_other_verdicts(bare_run, effect, heading):
    assert Page(write_report(bare_run(effect))).text["h1"] == [heading]


def test_needs_no_network_and_stays_small(page):
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    style = " ".join(page.text["style"])
    assert "url(" not in style
    assert "@import" not in style
    assert not page.attributes("script")
    assert len(page.source) < 5_000_000


def test_reads_without_seeing(page):
    assert page.attributes("html") == [{"lang": "en"}]
    images = page.attributes("img")
    assert len(images) > 5
    assert all(len(image.get("alt", "")) > 10 for image in images)
    tables = page.source.split("<table")[1:]
    assert len(tables) >= 6
    for table in tables:
        table = table.split("</table>")[0]
        assert "<caption>" in table
        assert 'scope="col"' in table
        assert 'scope="row"' in table
    assert all("scope" in header for header in page.attributes("th"))
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_light_dark_phone_and_paper(page):
    style = " ".join(page.text["style"])
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert any(meta.get("name") == "viewport" for meta in page.attributes("meta"))
    assert all("dark" in source["media"] for source in page.attributes("source"))


def test_shows_what_the_run_left_behind(page, full_run):
    words = page.words()
    assert all(kind in words for kind in KINDS)
    assert "support 500 label 300" in words  # both seeds together
    assert "1000 200 20 %" in words  # drawn, kept
    assert "One standard error <rule> towards 0." in words
    assert "root: <my photos>" in words
    assert "packages.torch" in words
    assert "truncated file (1)" in words
    assert "0.5312" in words
    assert "a risk score, not proof" in words
    assert "step_1000.png" in words  # newest by number, not by name
    newest = Image.open(full_run / "gan/0/samples/step_1000.png").getpixel((0, 0))
    assert newest == (200, 0, 0)
    assert any("loss_generator" in image["alt"] and "2 seeds" in image["alt"] for image in page.attributes("img"))
    assert any("kid" in image["alt"] for image in page.attributes("img"))


def test_everything_else_may_be_missing(bare_run):
    page = Page(write_report(bare_run(1.5)))
    words = page.words()
    assert page.text["h1"] == ["Synthetic counterfeits helped"]
    assert "Left out: this run folder holds no predictions" in words
    assert "No sample grid" in words
    assert "Configuration" not in words
    assert "Training of the GAN" not in words


def test_a_test_set_of_one_class_is_reported_as_undefined(tmp_path):
    table = pa.concat_tables(predictions(0.0, seeds=1))
    genuine = table.filter(np.asarray(table["label"]) == 0)
    (tmp_path / "comparison.json").write_text(compare(genuine, resamples=20).to_json())
    page = Page(write_report(tmp_path))
    assert page.text["h1"] == ["No evidence that synthetic counterfeits help"]
    assert "not defined" in page.words()
    assert "nan" not in page.words().replace("%", "").split()
    assert "0.0 to 100.0" not in page.words()


def test_provenance_with_counts_by_class_or_none(bare_run):
    run = bare_run(0.0)
    (run / "synthetic" / "0").mkdir(parents=True)
    path = run / "synthetic" / "0" / "provenance.json"
    by_class = {"drawn": {"genuine": 70}, "kept": {"genuine": 30}, "rejected": {"genuine": {"artefact": 40}}}
    path.write_text(json.dumps(by_class))
    assert "artefact 40" in Page(write_report(run)).words()
    path.write_text(json.dumps({"drawn": 70, "kept": 30, "rejected": {"artefact": 41}}))
    assert "artefact 41" in Page(write_report(run)).words()


def test_a_large_sample_grid_is_made_smaller(bare_run):
    run = bare_run(0.0)
    (run / "gan" / "0" / "samples").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(run / "gan" / "0" / "samples" / "1.png")
    report = write_report(run)
    assert "data:image/jpeg" in report.read_text()
    assert report.stat().st_size < 5_000_000


def test_same_run_same_bytes(full_run):
    assert write_report(full_run).read_bytes() == write_report(full_run).read_bytes()


def test_figures_are_deterministic_and_carry_their_numbers():
    comparison = compare(pa.concat_tables(predictions(1.5)), resamples=50)
    drawing = forest(comparison, "auroc")
    assert drawing == forest(comparison, "auroc")
    assert drawing.light != drawing.dark
    assert drawing.alt.count("[") == len(comparison.pairs)
    line = Curve("diversity", "0", [0, 16], [0.1, 0.2])
    assert curves([line], "images seen").alt == "diversity over images seen, 1 seed: diversity (seed 0) from 0.1 to 0.2"


def test_says_what_is_wrong_with_the_folder(tmp_path, bare_run):
    with pytest.raises(UserError, match="run the compare stage first"):
        write_report(tmp_path / "nowhere")
    run = bare_run(0.0)
    (run / "env.json").write_text("{")
    with pytest.raises(UserError, match=r"env\.json is not valid JSON"):
        write_report(run)
    (run / "comparison.json").write_text("{}")
    with pytest.raises(UserError, match="is not a comparison"):
        write_report(run)
