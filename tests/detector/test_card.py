"""A card that is damaged is told as such, and no score is judged by a number that is none."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from counterfeit.detector.card import read_card
from counterfeit.errors import UserError

CARD: dict[str, Any] = {
    "sha256": "0",
    "hyperparameters": {"size": 64},
    "operating_point": {"rule": "fpr<=0.05", "threshold": 0.5},
    "bands": {"genuine_below": 0.2, "counterfeit_from": 0.8},
    "calibration": [{"low": 0.0, "high": 1.0, "n": 4, "counterfeits": 1}],
    "captures": ["as in training", "JPEG"],
}


def test_a_whole_card_is_read(tmp_path: Path) -> None:
    (tmp_path / "detector.json").write_text(json.dumps(CARD))
    assert read_card(tmp_path).threshold == 0.5


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("operating_point", {}),
        ("operating_point", {"rule": "fpr<=0.05", "threshold": float("nan")}),
        ("operating_point", {"rule": "", "threshold": 0.5}),
        ("bands", {}),
        ("bands", {"genuine_below": 0.2, "counterfeit_from": "high"}),
        ("calibration", [1, 2]),
        ("calibration", [{"low": 0.0}]),
        ("captures", []),
        ("captures", ["as in training", 1]),
        ("hyperparameters", {}),
        ("hyperparameters", {"size": "x"}),
    ],
)
def test_a_card_that_lacks_a_number_is_refused(key: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "detector.json").write_text(json.dumps(copy.deepcopy(CARD) | {key: value}))
    with pytest.raises(UserError, match="is damaged or of another version"):
        read_card(tmp_path)


def test_what_to_do_about_a_damaged_card_fits_what_the_folder_is(tmp_path: Path) -> None:
    folder = tmp_path / "my run"
    folder.mkdir()
    (folder / "detector.json").write_text("{")
    with pytest.raises(UserError, match="; export the run again"):
        read_card(folder)
    (folder / "config.yaml").touch()
    command = "fit --config '.*/my run/config.yaml' --out '.*/my run'"
    with pytest.raises(UserError, match=rf"; write it anew: .*{command}$"):
        read_card(folder)
    (folder / "report.html").touch()  # a finished run goes on with named stages only
    staged = rf"{command} --stages '\[detector,compare,report]'$"
    with pytest.raises(UserError, match=rf"; write it anew: .*{staged}"):
        read_card(folder)
    (folder / "detector.json").unlink()
    with pytest.raises(UserError, match=rf"did not finish its detector; continue it: .*{staged}"):
        read_card(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\x7fELF\xd0"])
def test_a_card_that_is_no_card_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "detector.json").write_bytes(content)
    with pytest.raises(UserError, match="is damaged or of another version"):
        read_card(tmp_path)
