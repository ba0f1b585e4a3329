import json

import pytest

from counterfeit.errors import UserError
from counterfeit.evaluation.bands import CalibrationBin
from counterfeit.review.scored import read_scored, sentence
from tests.review.conftest import write_scores
from tests.review.made_run import make_run


def test_a_score_means_what_validation_counted_with_wilsons_interval():
    # Wilson (1927) for 148 of 212, worked by hand: 63.2 to 75.6 %.
    assert sentence(CalibrationBin(0.6, 0.9, 212, 148)) == (
        "Of 100 items like this, about 70 were counterfeit (95 % interval 63 to 76); n = 212."
    )


def test_a_share_of_few_says_so():
    assert sentence(CalibrationBin(0.5, 1.0, 13, 13)) == (
        "Of 100 items like this, about 100 were counterfeit (95 % interval 77 to 100); n = 13."
        " So few say little: go by the interval."
    )


def test_an_empty_bin_claims_nothing():
    assert "No validation image" in sentence(CalibrationBin(0.9, 1.0, 0, 0))


def test_bands_and_meanings_include_their_lower_end(tmp_path):
    scored = read_scored(write_scores(tmp_path, [0.5]))
    assert [scored.band(s) for s in (0.0, 0.2999, 0.3, 0.5999, 0.6, 1.0)] == [
        "likely genuine",
        "likely genuine",
        "unclear",
        "unclear",
        "likely counterfeit",
        "likely counterfeit",
    ]
    assert "n = 212" in scored.meaning(0.6)
    assert "n = 40" in scored.meaning(0.5999)
    assert "No validation image" in scored.meaning(1.0)


@pytest.mark.parametrize("lost", ["scores.parquet", "scores.json"])
def test_an_incomplete_folder_is_a_plain_error(tmp_path, lost):
    folder = write_scores(tmp_path, [0.5])
    (folder / lost).unlink()
    with pytest.raises(UserError, match=lost):
        read_scored(folder)


def test_a_card_without_bands_is_a_plain_error(tmp_path):
    folder = write_scores(tmp_path, [0.5])
    card = json.loads((folder / "scores.json").read_text())
    del card["bands"]
    (folder / "scores.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="bands"):
        read_scored(folder)


def test_a_run_is_the_one_that_made_the_scores(tmp_path):
    run = make_run(tmp_path / "made")
    folder = write_scores(tmp_path / "a", [0.5], run=run)
    moved = run.rename(tmp_path / "moved")
    assert read_scored(folder).run is None
    assert read_scored(folder, moved).run == moved
    others = write_scores(tmp_path / "b", [0.5])
    with pytest.raises(UserError, match="another detector"):
        read_scored(others, moved)
    with pytest.raises(UserError, match="no folder"):
        read_scored(folder, tmp_path / "nowhere")


def test_a_run_that_was_trained_anew_in_its_place_is_not_taken_for_the_old_one(tmp_path):
    run = make_run(tmp_path / "made")
    folder = write_scores(tmp_path / "a", [0.5], run=run)
    assert read_scored(folder).run == run
    card = json.loads((run / "detector.json").read_text())
    (run / "detector.json").write_text(json.dumps(card | {"sha256": "cd" * 32}))
    assert read_scored(folder).run is None
