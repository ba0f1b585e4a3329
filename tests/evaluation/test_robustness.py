"""Each corruption does what its name says and nothing random; rates under it carry their intervals."""

import numpy as np
import pyarrow as pa
import pytest

from counterfeit.data.labels.draw import draw_label
from counterfeit.evaluation.robustness import CORRUPTIONS, crop, double_jpeg, noise, robustness_rows, rotate, screenshot


@pytest.fixture(scope="module")
def photo():
    return draw_label(0, False, size=128).image


def distance(first, second):
    return float(np.abs(first.astype(float) - second).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(128, 128), (97, 64)])
def test_is_a_pure_function_of_image_and_seed(photo, name, shape):
    image = np.ascontiguousarray(photo[: shape[0], : shape[1]])
    kept = image.copy()
    corrupted = CORRUPTIONS[name](image, 3)
    assert corrupted.shape == image.shape
    assert corrupted.dtype == np.uint8
    assert np.array_equal(corrupted, CORRUPTIONS[name](image, 3))
    assert np.array_equal(image, kept)
    assert (distance(corrupted, image) == 0) == (name == "none")


def test_lower_quality_is_farther_from_the_photograph(photo):
    distances = [distance(CORRUPTIONS[f"JPEG {quality}"](photo, 0), photo) for quality in (90, 70, 50, 30)]
    assert distances == sorted(distances)
    assert distance(double_jpeg(photo, 0), photo) > distance(CORRUPTIONS["JPEG 70"](photo, 0), photo)


@pytest.mark.parametrize("corruption", [crop, rotate, noise, screenshot, CORRUPTIONS["overlay text"]])
def test_what_is_left_to_chance_depends_on_the_seed(photo, corruption):
    assert len({corruption(photo, seed).tobytes() for seed in range(8)}) > 1


def test_exposure_and_colour(photo):
    mean = {name: CORRUPTIONS[name](photo, 0).astype(float).mean() for name in ("none", "darker", "brighter")}
    assert mean["darker"] == pytest.approx(0.7 * mean["none"], rel=0.01)
    assert mean["brighter"] > 1.1 * mean["none"]
    grey = CORRUPTIONS["greyscale"](photo, 0)
    assert (grey == grey[:, :, :1]).all()


def test_noise_and_blur_are_as_strong_as_they_say():
    flat = np.full((200, 200, 3), 128, np.uint8)
    assert (noise(flat, 0) - 128.0).std() == pytest.approx(12, rel=0.05)
    point = np.zeros((128, 128, 3), np.uint8)
    point[64, 64] = 255
    blurred = CORRUPTIONS["blur"](point, 0)[..., 0].astype(float)
    assert blurred[64, 64] / 255 == pytest.approx(1 / (2 * np.pi), rel=0.1)  # a Gaussian of one pixel


def test_a_crop_enlarges_and_a_rotation_turns():
    board = np.zeros((100, 100, 3), np.uint8)
    board[45:55] = 255
    assert (crop(board, 0)[:, 50, 0] > 128).sum() == pytest.approx(12.5, abs=1)
    rows = np.array([np.flatnonzero(rotate(board, 0)[:, column, 0] > 128).mean() for column in (10, 89)])
    assert abs(rows[1] - rows[0]) == pytest.approx(79 * np.tan(np.deg2rad(5)), abs=1)


def scores(flips):
    """Two seeds of one arm: 40 genuine images of which `flips` pass the threshold, 10 counterfeits of which 8 do."""
    label = np.r_[np.zeros(40, int), np.ones(10, int)]
    score = np.where(label == 1, 0.9, 0.1)
    score[40:42] = 0.2
    score[:flips] = 0.7
    tables = [
        pa.table(
            {
                "arm": ["real"] * 50,
                "dose": [0.0] * 50,
                "seed": [seed] * 50,
                "path": [f"{seed}-{i}" for i in range(50)],
                "group": [f"{seed}-{i // 2}" for i in range(50)],
                "label": label,
                "score": score,
                "threshold": [0.5] * 50,
            }
        )
        for seed in range(2)
    ]
    return pa.concat_tables(tables)


def test_rates_with_intervals():
    (row,) = robustness_rows("blur", scores(flips=4))
    assert (row["name"], row["arm"], row["n_seeds"], row["n_genuine"], row["n_counterfeit"]) == (
        "blur",
        "real",
        2,
        40,
        10,
    )
    assert row["recall"][0] == 0.8
    assert row["fpr"][0] == 0.1
    for name in ("recall", "fpr", "auroc"):
        value, low, high = row[name]
        assert 0 <= low < value < high <= 1


def test_one_class_has_no_recall_and_no_area():
    table = scores(flips=4)
    (row,) = robustness_rows("blur", table.filter(np.asarray(table["label"]) == 0))
    assert row["recall"] == row["auroc"] == [None, None, None]
    assert row["fpr"][0] == 0.1
