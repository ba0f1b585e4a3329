"""The grid's statistics against those of the product, its pooling, its bars and its page."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from benchmarks.curve_picture import write_picture
from benchmarks.synthesis import BEGIN, END, Entry, between_marks, main, plan_entry, same_settings, widen
from benchmarks.synthesis import _parser as parser
from benchmarks.synthesis_statistics import MEASURED, Cell, difference, join, judge, measure, pooled, worth
from benchmarks.synthesis_tables import Kept, Made, tables
from counterfeit.errors import UserError
from counterfeit.evaluation.bootstrap import Resampled
from counterfeit.evaluation.compare import compare

RESAMPLES = 200
SHIFTS = {"real": 1.0, "transplant": 1.2, "synthetic": 1.8, "oracle": 1.6, "placebo": 1.0, "synthetic-random": 1.5}


def predictions(shifts: dict[str, float], seeds: int = 4, images: int = 120) -> pa.Table:
    """Scores of genuine and counterfeit images a shift apart, two images a group; arms share the images' noise."""
    rows = []
    for seed in range(seeds):
        generator = np.random.default_rng(seed)
        label, noise = np.arange(images) % 2, generator.normal(size=images)
        for arm, shift in shifts.items():
            logit = noise + shift * label + 0.2 * generator.normal(size=images)
            rows += [
                {"arm": arm, "dose": 0.0, "seed": seed, "path": f"{i}", "group": f"{i // 2}", "label": int(label[i])}
                | {"score": float(1 / (1 + np.exp(-logit[i])))}
                for i in range(images)
            ]
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def cells() -> dict[int, Cell]:
    tables = {8: predictions(SHIFTS), 16: predictions(SHIFTS | {"synthetic": 1.0, "oracle": 1.9})}
    return measure(tables, RESAMPLES, seed=0)


def test_differences_are_those_of_compare(cells: dict[int, Cell]) -> None:
    result = compare(predictions(SHIFTS), product_dose=None, resamples=RESAMPLES, seed=0).pair()
    for metric in MEASURED:
        found, expected = difference([cells[8]], "synthetic", "real", metric), result.differences[metric]
        assert found is not None
        assert found.estimate == pytest.approx(expected.estimate)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_pooled_over_one_set_is_the_mean_over_its_sizes(cells: dict[int, Cell]) -> None:
    grid = {("a", size): cell for size, cell in cells.items()}
    found, used = pooled(grid, "synthetic", "real", "auroc")
    single = [difference([cell], "synthetic", "real", "auroc") for cell in cells.values()]
    assert found is not None
    assert used == [("a", 8), ("a", 16)]
    assert found.estimate == pytest.approx(np.mean([one.estimate for one in single if one]))
    assert found.low < found.estimate < found.high


def test_sizes_that_share_images_are_no_further_evidence() -> None:
    twice = measure({8: predictions(SHIFTS), 16: predictions(SHIFTS)}, RESAMPLES, seed=0)
    once, _ = pooled({("a", 8): twice[8]}, "synthetic", "real", "auroc")
    both, _ = pooled({("a", size): cell for size, cell in twice.items()}, "synthetic", "real", "auroc")
    assert once is not None and both is not None
    assert both.standard_error == pytest.approx(once.standard_error)


def test_independent_sets_halve_the_variance_and_know_more_of_training() -> None:
    one = Resampled(0.04, 0.0, 0.08, 0.05, 0.02, 0.012, 0.016, 4.0)
    both = join([one, one], np.array([0.5, 0.5]))
    assert both.estimate == pytest.approx(0.04)
    assert both.standard_error == pytest.approx(0.02 / np.sqrt(2))
    assert both.freedom == pytest.approx(8)
    assert both.high - both.estimate == pytest.approx(2.306 * both.standard_error, rel=1e-3)


def test_cells_without_one_of_the_arms_take_no_part(cells: dict[int, Cell]) -> None:
    without = {arm: samples for arm, samples in cells[16].items() if arm != "transplant"}
    _, used = pooled({("a", 8): cells[8], ("a", 16): without}, "synthetic", "transplant", "auroc")
    assert used == [("a", 8)]
    assert pooled({("a", 16): without}, "synthetic", "transplant", "auroc") == (None, [])


def test_worth_is_two_where_the_bank_gains_as_much_as_the_oracle(cells: dict[int, Cell]) -> None:
    assert worth(cells[8], "auroc") == "at least 2"
    assert worth(cells[16], "auroc") == "below 2"
    assert worth({**cells[8], "oracle": cells[8]["placebo"], "real": cells[8]["oracle"]}, "auroc") == (
        "more real ones gain nothing"
    )
    assert worth(cells[8], "auroc", factor=1.04) == "at least 1.04"
    assert worth({"real": cells[8]["real"]}, "auroc") == "not measured"


def test_bars_find_planted_gain_planted_harm_and_what_was_not_run(cells: dict[int, Cell]) -> None:
    harmed = measure({8: predictions(SHIFTS | {"real": 2.5, "synthetic": 0.0})}, RESAMPLES, seed=1)[8]
    grid = {("labels", 8): cells[8], ("sneakers_af1", 8): harmed}
    bars = {(bar.name, bar.where): bar for bar in judge(grid, ("labels", "sneakers_af1", "magnetic_tile"), (8,))}
    assert bars["synthetic - real, AUROC", "labels, 8"].status == "met"
    assert bars["synthetic - real, AUROC", "magnetic_tile, 8"].status == "not measured"
    assert bars["no harm found: synthetic - real, AUROC", "labels, 8"].status == "met"
    assert bars["no harm found: synthetic - real, AUROC", "sneakers_af1, 8"].status == "missed"
    assert bars["synthetic - real, AUROC", "sneakers_af1, pooled"].status == "missed"


def test_an_arm_equal_to_real_misses_the_gains_and_does_no_harm() -> None:
    equal = measure({8: predictions(dict.fromkeys(SHIFTS, 1.0))}, RESAMPLES, seed=0)
    bars = judge({("labels", 8): equal[8]}, ("labels",), (8,))
    assert {bar.status for bar in bars if bar.name.startswith("synthetic - real")} >= {"missed"}
    assert all(bar.status == "met" for bar in bars if bar.name.startswith("no harm"))


def test_tables_of_a_part_of_the_grid_name_what_is_missed(cells: dict[int, Cell]) -> None:
    grid = {("labels", size): cell for size, cell in cells.items()}
    counts = {"drawn": 50, "support": 5, "label": 10, "novelty": 0, "not chosen": 15, "kept": 20}
    made = [Made(True, 0, counts), Made(True, 2, counts), Made(False, 2, counts)]
    areas = {"real": np.array([[50.0, 60, 70, 80, 75, 65, 79], [50.0, 60, 70, 80, 75, 65, 82]])}
    kept = {("labels", 8): Kept({"synthetic": [1.0, 0.5]}, [2.0], made, areas)}
    text = tables(grid, kept, ("labels",), (8, 16, 48))
    assert "2 of 3 cells" in text
    assert "| labels | 8 | real | 4 | 60 + 60, 60 |" in text
    assert "| labels | 8 | synthetic - real | 4 |" in text
    assert "| labels | 8 | 1.00, 0.50 |" in text
    assert "| labels | 8 | real | 2 | 50.0 | 60.0 | 70.0 | 80.0 | 75.0 | 65.0 | 80.5 | +0.5 |" in text
    assert "within 1 pp of the best of its parts in 1 of 1 rows, and above all of them in 1" in text
    assert "| labels | 8 | 1 | 1 | 1 | 150 | 15 | 30 | 0 | 45 | 60 |" in text
    assert "| missed | worth >= 2 by AUROC: synthetic - oracle | labels, 16 |" in text
    assert "| not measured | synthetic - real, AUROC | labels, 48 |" in text
    assert "nan" not in text


def pooled_rows(grid: dict[tuple[str, int], Cell]) -> list[list[str]]:
    text = tables(grid, {}, [name for name, _ in grid], (8, 16)).split("### Pooled")[1].split("### Worth")[0]
    return [line.split(" | ")[:4] for line in text.splitlines() if line.startswith("| ")]


def test_pooled_differences_are_of_each_set_of_some_together_and_of_all(cells: dict[int, Cell]) -> None:
    rows = pooled_rows({("labels", 8): cells[8], ("magnetic_tile", 16): cells[16]})
    where = [row[1:3] for row in rows if row[0] == "| synthetic - real"]
    assert where == [["all", "2"], ["labels", "1"], ["magnetic_tile", "1"]]
    assert ["| oracle - real", "all", "2", "4"] in rows and ["| placebo - real", "all", "2", "4"] in rows
    three = ("labels", "magnetic_tile", "print_scan_codes")
    more = [row[1:3] for row in pooled_rows({(name, 8): cells[8] for name in three}) if row[0] == "| synthetic - real"]
    assert more[:3] == [["all", "3"], ["all real ones", "2"], ["all but codes", "2"]] and len(more) == 6
    assert not any("procedural" in row[0] or row[0] == "| real - real" for row in rows)  # was not run; says nothing


def test_the_picture_has_a_panel_for_each_set(cells: dict[int, Cell], tmp_path: Path) -> None:
    grid = {("labels", size): cell for size, cell in cells.items()}
    for sets in (("labels",), ("labels", "sneakers_af1")):
        write_picture(tmp_path / f"{len(sets)}.png", grid, sets, [8, 16, 48])
    one, two = (Image.open(tmp_path / f"{count}.png") for count in (1, 2))
    assert two.width == 2 * one.width and two.height == one.height


def test_the_page_is_rewritten_between_its_marks_alone() -> None:
    once = between_marks("# Benchmarks\n\nOther.\n", "first")
    again = between_marks(once + "\nBelow.\n", "second")
    assert again == f"# Benchmarks\n\nOther.\n\n{BEGIN}\n\nsecond\n\n{END}\n\nBelow.\n"


def test_arms_may_be_added_to_a_run_folder_and_nothing_else(tmp_path: Path) -> None:
    def entry(*arguments: str) -> Entry:
        args, options = parser().parse_known_args(["--work", str(tmp_path), *arguments])
        return plan_entry(args, options, "labels", 8)

    few, more = entry("--arms", "synthetic"), entry("--arms", "synthetic", "oracle", "--seeds", "0", "1")
    other = entry("--arms", "synthetic", "--gan.kimg", "0.5")
    assert few.plan.experiment.arms == ["real", "synthetic"]
    assert same_settings(few.plan.config, more.plan.config)
    assert not same_settings(few.plan.config, other.plan.config)
    few.folder.path.mkdir()
    few.folder.config.write_text(few.plan.config)
    with pytest.raises(UserError, match="other settings"):
        widen(other)
    assert few.folder.config.read_text() == few.plan.config
    widen(more)
    assert few.folder.config.read_text() == more.plan.config


def test_without_time_nothing_is_run_and_the_tables_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--work", str(tmp_path), "--sets", "labels", "--sizes", "8", "--budget", "0"]) == 0
    said = capsys.readouterr()
    assert "5 of 5 seeds of cells are left" in said.err
    assert "0 of 1 cells" in said.out
    assert "| missed |" not in said.out
    assert not any(tmp_path.iterdir())


def test_several_doses_are_refused(tmp_path: Path) -> None:
    args, options = parser().parse_known_args(["--work", str(tmp_path), "--experiment.doses", "[0.3,1.0]"])
    with pytest.raises(UserError, match="one dose"):
        plan_entry(args, options, "labels", 8)
