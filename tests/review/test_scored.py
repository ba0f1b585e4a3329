import json

import pytest

from counterfeit.errors import UserError
from counterfeit.review.scored import Bin, read_scored
from tests.review.conftest import write_scores


def test_a_score_means_what_validation_counted_with_wilsons_interval():
    # Wilson (1927) for 148 of 212, worked by hand: 63.2 to 75.6 %.
    assert Bin(0.6, 0.9, 212, 148).sentence() == (
        "Of 100 items like this, about 70 were counterfeit (95 % interval 63 to 76); n = 212."
    )


def test_a_share_of_few_says_so():
    assert Bin(0.5, 1.0, 13, 13).sentence() == (
        "Of 100 items like this, about 100 were counterfeit (95 % interval 77 to 100); n = 13."
        " So few say little: go by the interval."
    )


def test_an_empty_bin_claims_nothing():
    assert "No validation image" in Bin(0.9, 1.0, 0, 0).sentence()


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
