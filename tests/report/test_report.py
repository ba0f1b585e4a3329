"""The report is written from the run folder alone, needs no network, and says what came out in its first heading."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from counterfeit.errors import UserError
from counterfeit.evaluation.compare import compare
from counterfeit.evaluation.comparison import Comparison
from counterfeit.report.drawing import DARK, LIGHT
from counterfeit.report.figures import Curve, curves, forest
from counterfeit.report.html import write_report
from tests.report.conftest import predictions


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


def test_the_rule_of_the_verdict_is_written_out_and_no_level_stands_alone(page, bare_run):
    words = Page(write_report(bare_run(1.5))).words()
    assert Comparison.from_json((bare_run(1.5) / "comparison.json").read_text()).rule in words
    tiles = page.source.split('class="tiles"')[1].split("</section>")[0]
    assert len(re.findall(r"(?:real|synthetic) [\d.]+ % \([\d.]+ to [\d.]+\)", tiles)) == 6


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
    # 32 counterfeits a seed, a third of each kind; the joined kind counts for both. The difference comes first.
    for kind, count in (("font", 66), ("reprint", 63)):
        assert re.search(rf" {kind} [+-][\d.]+ pp [+-][\d.]+ to [+-][\d.]+ {count} in 3 seeds", words)
    assert "font+reprint" not in words
    assert "support 500 label 300" in words  # both seeds together
    assert "1000 200 20 %" in words  # drawn, kept
    assert "One standard error <rule> towards 0." in words
    assert "root: <my photos>" in words
    assert "packages.torch" in words
    assert "truncated file (1)" in words
    assert "0.831" in words
    assert "123 test images, 2 seeds" in words
    assert "<b.jpg>" in words
    assert "Read the audits before trusting this verdict" in words
    assert "With 12 real counterfeits: as good as 2.1 times as many (95 % interval 1.4 to 3.2" in words
    assert "95 % interval 0.9 to beyond the curve; 2 seeds" in words
    assert "JPEG 30" in words
    assert "collapsed" in words
    assert "a risk score, not proof" in words
    assert "step_1000.png" in words  # newest by number, not by name
    assert "step_900.png" not in words
    assert any("loss_generator" in image["alt"] and "2 seeds" in image["alt"] for image in page.attributes("img"))
    assert any("kid" in image["alt"] for image in page.attributes("img"))


def test_decisions_at_the_thresholds(page, full_run):
    comparison = json.loads((full_run / "comparison.json").read_text())
    words = page.words()
    product = next(arm for arm in comparison["arms"] if arm["arm"] == "synthetic")
    recall = product["operating"]["recall"]
    assert f"{100 * recall['estimate']:.1f} % {100 * recall['low']:.1f} to {100 * recall['high']:.1f}" in words
    mcnemar = next(pair["mcnemar"] for pair in comparison["pairs"] if pair["against"] == "real")
    assert f"synthetic \N{MINUS SIGN} real {mcnemar['gained']} {mcnemar['lost']}" in words
    accuracy = product["referral"][-1]
    wanted = f"{accuracy['estimate']:.2f} [{accuracy['low']:.2f}, {accuracy['high']:.2f}] at 50"
    assert any(
        image["alt"].startswith("accuracy on the rest") and wanted in image["alt"] for image in page.attributes("img")
    )
    assert "Groups for 5 pp</th>" in page.source


def test_two_seeds_can_find_nothing_and_the_page_says_so(tmp_path):
    text = compare(pa.concat_tables(predictions(1.0, seeds=2, images=40)), resamples=100).to_json()
    (tmp_path / "comparison.json").write_text(text)
    words = Page(write_report(tmp_path)).words()
    assert "with so few seeds hardly any could be found" in words
    assert "Decisions at the stored thresholds" not in words  # no cell of this run has a threshold


def test_a_learning_curve_of_another_form_is_refused_in_one_line(bare_run):
    run = bare_run(0.0)
    (run / "learning_curve.json").write_text(
        json.dumps({"counts": [4], "arms": {"real": {"auroc": [[0.5, 0.4, 0.6]]}}})
    )
    with pytest.raises(UserError, match=r"learning_curve\.json is not as docs/run-folder\.md says"):
        write_report(run)


def test_everything_else_may_be_missing(bare_run):
    page = Page(write_report(bare_run(1.5)))
    words = page.words()
    assert page.text["h1"] == ["Synthetic counterfeits helped"]
    assert "Left out: this run folder holds no predictions" in words
    assert "No sample grid" in words
    assert "Configuration" not in words
    assert "Not measured in this run: learning curve and worth, unseen kinds, audits, robustness." in words
    assert 'id="audits"' not in page.source
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


def test_the_health_of_every_kind_of_generator_is_told(bare_run):
    run = bare_run(1.5)
    for folder, kind, healthy in (("gan", "refiner", True), ("gan-noise", "noise", False)):
        done = {"seed": 0, "attempt": 2, "healthy": healthy, "reason": None, "images": 9, "settings": {"kind": kind}}
        (run / folder / "0").mkdir(parents=True)
        (run / folder / "0" / "done.json").write_text(json.dumps(done))
        (run / folder / "0" / "gan.safetensors").write_bytes(kind.encode())
    write_report(run)
    said = json.loads((run / "report.json").read_text())
    assert [(row["kind"], row["healthy"]) for row in said["gan"]] == [("refiner", True), ("noise", False)]
    assert {"gan/0/gan.safetensors", "gan-noise/0/gan.safetensors"} <= said["provenance"]["sha256"].keys()


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


def test_the_order_is_the_order_of_questions(page):
    wanted = (
        "decision",
        "differences",
        "arms",
        "learning",
        "unseen",
        "dose",
        "audits",
        "gan",
        "robustness",
        "slices",
        "errors",
    )
    places = [page.source.index(f'<section id="{name}"') for name in (*wanted, "provenance", "limits")]
    assert places == sorted(places)


def test_three_answers_in_plain_words(page):
    answers = page.text["dd"]
    assert answers[0] == "Yes."
    assert "of 100 counterfeits caught: " in answers[1]
    assert "95 % interval" in answers[2]


def test_the_difference_is_drawn_about_zero_with_its_interval(page, full_run):
    said = json.loads((full_run / "report.json").read_text())["headline"]["change"]
    pair = Comparison.from_json((full_run / "comparison.json").read_text()).pair()
    found = pair.differences["recall_at_5pct_fpr"]
    assert said == {"value": found.estimate, "low": found.low, "high": found.high}
    drawn = re.search(r'class="whisker" style="left:([\d.]+)%;width:([\d.]+)%', page.source)
    point = re.search(r'class="point" style="left:([\d.]+)%', page.source)
    reach = 0.5 if max(-found.low, found.high) <= 0.5 else 1.0  # an effect this large needs a wide axis
    left, width = float(drawn[1]), float(drawn[2])
    assert left == pytest.approx(50 + 50 * found.low / reach, abs=0.1)
    assert left + width == pytest.approx(50 + 50 * found.high / reach, abs=0.1)
    assert float(point[1]) == pytest.approx(50 + 50 * found.estimate / reach, abs=0.1)
    assert f"difference: {round(100 * found.low)} more to {round(100 * found.high)} more" in page.words()
    assert f"{100 * reach:.0f} fewer 0 {100 * reach:.0f} more" in page.words()


def test_the_gallery_shows_the_detector_to_keep_with_heat_maps(page):
    alts = [image["alt"] for image in page.attributes("img")]
    assert any(alt.startswith("Photograph missed/synthetic.jpg: counterfeit of kind font+reprint") for alt in alts)
    assert any(alt.startswith("Heat map of missed/synthetic.jpg") for alt in alts)
    assert not any("false alarm/real.jpg" in alt for alt in alts)


def test_no_figure_without_its_interval_and_n(page):
    figures = page.source.split("<figure")[1:]
    drawn = [figure.split("</figure>")[0] for figure in figures if "<picture>" in figure]
    assert len(drawn) > 8
    for figure in drawn:
        caption = figure.split("<figcaption>")[1]
        assert any(word in caption for word in ("seed", "images")), caption


def test_report_json_says_what_the_page_says(page, full_run):
    said = json.loads((full_run / "report.json").read_text())
    assert list(said) == [
        "schema", "run", "headline", "decision", "comparison", "learning_curve", "holdout", "dose", "audits", "gan",
        "synthesis", "robustness", "slices", "gallery", "quarantine", "provenance", "limits",
    ]  # fmt: skip
    assert said["headline"]["by_how_much"] in page.words()
    assert said["comparison"]["verdict"] == said["headline"]["verdict"] == "HELPS"
    assert {(row["slice"], row["name"]) for row in said["slices"]} >= {("kind", "font"), ("kind", "reprint")}
    sha = said["provenance"]["sha256"]["comparison.json"]
    assert sha == hashlib.sha256((full_run / "comparison.json").read_bytes()).hexdigest()
    assert "NaN" not in (full_run / "report.json").read_text()
    documented = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    keys = set(said) | set(said["headline"]) | set(said["slices"][0]) | set(said["provenance"])
    assert not {key for key in keys if f"`{key}`" not in documented}


def test_same_run_same_page(page, full_run):
    assert write_report(full_run).read_text() == page.source


def test_figures_are_deterministic_and_carry_their_numbers():
    comparison = compare(pa.concat_tables(predictions(1.5)), resamples=50)
    drawing = forest(comparison, "auroc")
    assert drawing == forest(comparison, "auroc")
    assert drawing.light != drawing.dark
    dark = base64.b64decode(drawing.dark.partition(",")[2]).decode()
    assert DARK.ink in dark and not any(color in dark for color in LIGHT)
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


@pytest.mark.parametrize("name", ["detector/0/real/0/predictions.parquet", "manifest.parquet", "gan/0/samples/1.png"])
def test_a_file_that_cannot_be_read_is_named(full_run, tmp_path, name):
    run = tmp_path / "run"
    shutil.copytree(full_run, run)
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_bytes(b"cut short")
    for samples in (run / "gan/0/samples").glob("step_*"):
        samples.unlink()
    with pytest.raises(UserError, match=f"{name} (cannot be read|is no picture): remove it"):
        write_report(run)
