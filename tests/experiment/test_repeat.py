"""Views with other counterfeits to learn from: what they change, what they leave, what is not trained again."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import pytorch_lightning as pl

from counterfeit.backbone import Embedder
from counterfeit.data.datamodule import ProductData
from counterfeit.data.files import write_json
from counterfeit.data.kinds import single_kinds
from counterfeit.data.manifest import write_table
from counterfeit.errors import UserError
from counterfeit.experiment import ExperimentSettings, repeat
from counterfeit.experiment.cells import Cells
from counterfeit.experiment.curve import available_counts, write_curve
from counterfeit.experiment.folder import RunFolder
from counterfeit.experiment.holdout import check_kinds, folder_name, of_kind
from counterfeit.experiment.repeat import Repeater, check_repeated, train_generators
from counterfeit.experiment.seed import Seed
from counterfeit.gan.settings import GanSettings, GanTrainerSettings
from counterfeit.synthesis import SynthesisSettings


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    cache = tmp_path_factory.mktemp("cache")
    data = ProductData(size=64, views=1, drawn_genuine=60, drawn_counterfeit=120, counterfeits=16, cache=str(cache))
    data.prepare_data()
    data.setup()
    embedder = Embedder("tf_efficientnet_lite0", 64, cache)
    data.group(embedder)
    return [Seed(number, data, embedder, folds=3) for number in (0, 1)]


def learned(seed: Seed, data: ProductData) -> set[str]:
    rows = replace(seed, data=data).train
    return set(data.photos.path[rows[data.photos.label[rows] == 1]].tolist())


def test_fewer_counterfeits_are_among_more_and_nothing_else_changes(seeds: list[Seed]) -> None:
    for seed in seeds:
        views = [seed.data.with_counterfeits(count) for count in (4, 8, 16, None)]
        found = [learned(seed, view) for view in views]
        assert [len(paths) for paths in found[:3]] == [4, 8, 16]
        assert found[0] < found[1] < found[2] < found[3]
        assert found[2] == learned(seed, seed.data)
        for view in views:
            other = replace(seed, data=view)
            for split in ("validation", "test"):
                assert other.rows(split).tolist() == seed.rows(split).tolist()
            assert (other.label == 0).sum() == (seed.label == 0).sum()


def test_counts_above_what_the_set_has_are_named_and_left_out(seeds: list[Seed]) -> None:
    most = min(len(learned(seed, seed.data.with_counterfeits(None))) for seed in seeds)
    assert available_counts(seeds, [16, 4, 4], "synthetic") == ([4, 16], None)
    counts, note = available_counts(seeds, [16, 4, most, most + 1, 900], "synthetic")
    assert counts == [4, 16, most]
    assert note == f"learning curve without {most + 1}, 900: there are {most} training counterfeits"
    with pytest.raises(UserError, match=f"there are {most} training counterfeits"):
        available_counts(seeds, [900], "synthetic")
    with pytest.raises(UserError, match="smote needs two"):
        available_counts(seeds, [1, 8], "smote")


def test_a_kind_that_is_held_out_is_met_in_test_alone(seeds: list[Seed]) -> None:
    data = seeds[0].data
    kinds, _ = check_kinds(seeds, "all")
    assert len(kinds) > 3
    for kind in kinds:
        view = data.with_unseen(of_kind(data, kind))
        for seed in seeds:
            other = replace(seed, data=view)
            met = {
                split: [single_kinds(data.photos.kind[row]) for row in other.rows(split) if data.photos.label[row]]
                for split in ("train", "validation", "test")
            }
            assert met["train"] and not any(kind in found for split in ("train", "validation") for found in met[split])
            assert len(met["test"]) >= 8 and all(kind in found for found in met["test"])
            assert len(met["train"]) == 16  # the limit counts what is left
            for split in met:
                before, after = (set(which.rows(split).tolist()) for which in (seed, other))
                genuine = set(np.flatnonzero(data.photos.label == 0).tolist())
                assert before & genuine == after & genuine
            assert set(other.rows("test").tolist()) <= set(seed.rows("test").tolist())
            assert not set(other.train.tolist()) & set(seed.rows("test").tolist())


def test_kinds_that_cannot_be_held_out_are_refused_in_words(seeds: list[Seed]) -> None:
    with pytest.raises(UserError, match="no kind 'nothing', only emblem, font"):
        check_kinds(seeds, "nothing")
    assert check_kinds(seeds, "ink") == (["ink"], {})

    def with_kinds(kinds: np.ndarray) -> list[Seed]:
        view = seeds[0].data.with_counterfeits(16)
        view.photos = replace(view.photos, kind=kinds)
        return [replace(seed, data=view) for seed in seeds]

    label = seeds[0].data.photos.label
    with pytest.raises(UserError, match="add the column kind"):
        check_kinds(with_kinds(np.where(label == 0, "shoe", "")), "all")
    with pytest.raises(UserError, match="reprint leaves 0 counterfeits of other kinds in train"):
        check_kinds(with_kinds(np.where(label == 1, "reprint", "")), "all")
    rare = np.where(label == 1, "reprint", "")
    rare[np.flatnonzero(label == 1)[:3]] = "font"
    with pytest.raises(UserError, match=r"font has \d test images in a seed, fewer than 8"):
        check_kinds(with_kinds(rare), "font")


def test_every_kind_has_a_folder_of_its_own() -> None:
    kinds = ["a b", "a/b", "a_b", "../b"]
    names = [folder_name(kind, kinds) for kind in kinds]
    assert len(set(names)) == 4 and names[2] == "a_b"
    assert not any("/" in name or "." in name for name in names)


@pytest.mark.parametrize("arms", [["real"], ["real", "oracle"], ["real", "one-class"]])
def test_without_an_arm_that_adds_images_there_is_nothing_to_repeat(arms: list) -> None:
    with pytest.raises(UserError, match="with an arm that adds images"):
        check_repeated(ExperimentSettings(arms=arms))


class _Trained(Exception):  # noqa: N818
    """Raised where a cell would be trained."""


def planted(seed: Seed, arm: str, dose: float) -> pa.Table:
    photos, rows = seed.data.photos, seed.rows("test")
    noise = np.random.default_rng(seed.number).normal(size=len(rows))
    counterfeits = int((seed.label == 1).sum())
    score = 1 / (1 + np.exp(-noise - photos.label[rows] * (np.log2(counterfeits) / 2 + (arm != "real") / 2)))
    same = {"arm": [arm] * len(rows), "dose": [dose] * len(rows), "seed": [seed.number] * len(rows)}
    columns = {"path": photos.path, "group": photos.group, "kind": photos.kind, "label": photos.label}
    return pa.table(same | {name: values[rows].tolist() for name, values in columns.items()} | {"score": score})


@pytest.fixture
def finished(seeds: list[Seed], tmp_path: Path) -> Iterator[Repeater]:
    """A run whose cells at 4, 8 and 16 counterfeits are finished; another would be trained by raising."""

    def train() -> None:
        raise _Trained

    cells = Cells(RunFolder(tmp_path), train, train, "fpr<=0.05", SynthesisSettings(), GanSettings())  # type: ignore[arg-type]
    experiment = ExperimentSettings(arms=["real", "transplant"])
    for count in (4, 8, 16):
        folder = RunFolder(tmp_path if count == 16 else tmp_path / "curve" / str(count))
        for seed in seeds:
            view = replace(seed, data=seed.data.with_counterfeits(count))
            for arm, dose in experiment.cells():
                path = folder.cell(seed.number, arm, dose) / "predictions.parquet"
                write_table(planted(view, arm, dose), path)
    told: list[str] = []
    yield Repeater(cells, experiment, GanTrainerSettings(), told.append)
    assert told


def test_a_generator_that_was_trained_before_a_kill_is_still_sent_to_the_loggers_and_once(
    seeds: list[Seed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Path] = []
    monkeypatch.setattr(repeat, "publish", lambda place, loggers, seed: sent.append(place))
    settings, folder = GanSettings(), RunFolder(tmp_path)
    done = {"settings": asdict(settings), "seed": seeds[0].number, "healthy": False, "reason": "collapsed"}
    write_json(folder.gan(seeds[0].number) / "done.json", done)
    for _ in range(2):
        (note,) = train_generators(folder, seeds[0], [settings], GanTrainerSettings(), pl.Trainer)
        assert "the refiner failed three times (collapsed)" in note
    assert sent == [folder.gan(seeds[0].number)]
    place = folder.gan(seeds[0].number)
    (place / "done.json").unlink()

    def train(*_: object, **__: object) -> dict[str, object]:
        assert not (place / "published").exists()
        return done

    monkeypatch.setattr(repeat, "train_generator", train)
    monkeypatch.setattr(Seed, "sources", None)
    list(train_generators(folder, seeds[0], [settings], GanTrainerSettings(), pl.Trainer))
    assert sent == [place, place]  # another training


def test_finished_cells_are_read_and_those_of_the_run_are_shared(finished: Repeater, seeds: list[Seed]) -> None:
    path = write_curve(finished, seeds, [4, 8, 16], resamples=50)
    first = path.read_bytes()
    assert write_curve(finished, seeds, [4, 8, 16], resamples=50).read_bytes() == first
    assert not (path.parent / "curve" / "16").exists()


def test_only_what_is_lost_is_trained_again(finished: Repeater, seeds: list[Seed]) -> None:
    run = finished.cells.folder.path
    (
        finished.cells.elsewhere(run / "curve/8").folder.cell(1, finished.arm, finished.dose) / "predictions.parquet"
    ).unlink()
    with pytest.raises(_Trained):
        write_curve(finished, seeds, [4, 8, 16], resamples=50)
    assert write_curve(finished, seeds, [4, 16], resamples=50).exists()
