"""What a Scorer takes, what it refuses, and what it says, with an engine that sees brightness."""

import hashlib
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from counterfeit.detector import engine as engines
from counterfeit.detector import graph
from counterfeit.detector.engine import probability_of
from counterfeit.detector.scorer import BATCH, Scorer, decode_photograph
from counterfeit.errors import UserError
from tests.detector.test_stream import CAPTURES, brightness, made_card

SIZE = 64


def grey(value: int, side: int = 16) -> Image.Image:
    return Image.new("RGB", (side, side), (value, value, value))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def scorer(tmp_path: Path) -> Scorer:
    return Scorer(made_card(tmp_path), brightness, "torch")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with a card and files of the right checksums that are no detector."""
    card = {
        "hyperparameters": {"size": SIZE}, "calibration": [], "captures": CAPTURES,
        "operating_point": {"rule": "fpr<=0.05", "threshold": 0.5},
        "bands": {"genuine_below": 0.3, "counterfeit_from": 0.7},
        "sha256": hashlib.sha256(b"weights").hexdigest(), "onnx_sha256": hashlib.sha256(b"graph").hexdigest(),
    }  # fmt: skip
    (tmp_path / "detector.safetensors").write_bytes(b"weights")
    (tmp_path / "detector.onnx").write_bytes(b"graph")
    (tmp_path / "detector.json").write_text(json.dumps(card))
    return tmp_path


class Planted:
    """What unpickling would run: a file is written."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.sign, "unpickled")


def test_a_pickle_in_the_place_of_the_weights_is_refused_in_a_line_and_not_run(stored: Path) -> None:
    archive = io.BytesIO()
    torch.save(Planted(stored / "sign"), archive)
    for content in (pickle.dumps(Planted(stored / "sign")), archive.getvalue()):
        (stored / "detector.safetensors").write_bytes(content)
        card = json.loads((stored / "detector.json").read_text()) | {"sha256": hashlib.sha256(content).hexdigest()}
        (stored / "detector.json").write_text(json.dumps(card))
        with pytest.raises(UserError, match="holds no safetensors"):
            Scorer.load(stored, "torch")
    assert not (stored / "sign").exists()


@pytest.mark.parametrize(
    "array",
    [
        np.full((9, 7), 100, np.uint8),
        np.full((9, 7, 1), 100, np.uint8),
        np.full((9, 7, 3), 100, np.uint8),
        np.dstack([np.full((9, 7, 3), 100, np.uint8), np.full((9, 7), 255, np.uint8)]),
        np.full((9, 7), 100 * 257, np.uint16),
        np.full((9, 7, 3), 100 * 257, np.uint16),
        np.full((9, 7), 100 / 255, np.float32),
        np.full((9, 7, 3), 100 / 255, np.float64),
    ],
)
def test_arrays_of_every_form_are_the_same_photograph(array: np.ndarray) -> None:
    pixels = decode_photograph(array, SIZE)
    assert pixels.shape == (SIZE, SIZE, 3) and pixels.dtype == np.uint8
    assert (pixels == 100).all()


def test_transparency_is_white() -> None:
    assert (decode_photograph(np.zeros((8, 8, 4), np.uint8), SIZE) == 255).all()


def test_a_path_its_bytes_its_image_and_its_array_are_the_same_photograph(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8))
    path = tmp_path / "a.png"
    image.save(path)
    expected = decode_photograph(path, SIZE)
    for other in (str(path), path.read_bytes(), Image.open(path), np.asarray(image)):
        np.testing.assert_array_equal(decode_photograph(other, SIZE), expected)


def test_an_image_that_lies_on_its_side_is_turned() -> None:
    image = grey(0, 32)
    image.paste((255, 255, 255), (0, 0, 16, 32))  # white on the left
    image.getexif()[0x0112] = 6  # to be turned by a quarter, clockwise
    pixels = decode_photograph(image, 32)
    assert (pixels[:15] == 255).all() and (pixels[17:] == 0).all()


@pytest.mark.parametrize(
    ("photograph", "reason"),
    [
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.full((4, 4), 1.5), "outside"),
        (np.full((4, 4), np.nan), "outside"),
        (np.zeros((4, 4), np.int64), "type int64"),
        (np.zeros((4, 4), bool), "type bool"),
        (b"", "zero bytes"),
        (b"no image", "not an image"),
        (png(grey(9, 64))[:-40], "truncated"),
        ("nowhere.jpg", "nowhere.jpg.*missing"),
        (Path("nowhere.jpg"), "nowhere.jpg.*missing"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_number(photograph: object, reason: str) -> None:
    with pytest.raises(UserError, match=f"photograph 7.*{reason}"):
        decode_photograph(photograph, SIZE, 7)  # type: ignore[arg-type]


def test_an_opened_image_that_turns_out_cut_is_refused() -> None:
    content = png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)))
    with pytest.raises(UserError, match="photograph 0"):
        decode_photograph(Image.open(io.BytesIO(content[: len(content) // 2])), SIZE)


def test_scores_are_in_the_order_given_across_batches(scorer: Scorer) -> None:
    shades = [int(x) for x in np.random.default_rng(0).integers(0, 256, BATCH + 5)]
    scores = scorer.score([grey(shade) for shade in shades])
    expected = probability_of(np.array([8 * shade / 255 - 4 for shade in shades]))
    np.testing.assert_allclose([score.probability for score in scores], expected, atol=1e-6)
    pixels = np.stack([decode_photograph(grey(shade), SIZE) for shade in shades])
    kept = scorer.kept(pixels)
    np.testing.assert_allclose(kept[:, 0], expected, atol=1e-6)
    assert [scorer.card.captures[number] for number in kept[:, 1].astype(int)] == [one.captured for one in scores]
    assert scorer.score([]) == [] and scorer.kept(np.empty((0, 64, 64, 3), np.uint8)).shape == (0, 2)


@pytest.mark.parametrize(
    "one", ["photograph.png", Path("photograph.png"), b"bytes", grey(9), *map(np.zeros, [(), (9, 9), (9, 9, 3)])]
)
def test_one_photograph_where_a_list_is_due_is_refused(scorer: Scorer, one: object) -> None:
    with pytest.raises(UserError, match="no list of photographs"):
        scorer.score(one)  # type: ignore[arg-type]


def test_arrays_of_several_photographs_are_lists_of_them(scorer: Scorer) -> None:
    shades = [9, 200]
    grey_ones = np.stack([np.full((SIZE, SIZE), shade, np.uint8) for shade in shades])
    one_by_one = [score.probability for score in scorer.score([grey(shade) for shade in shades])]
    assert [score.probability for score in scorer.score(grey_ones)] == one_by_one
    coloured = np.repeat(grey_ones[..., None], 3, axis=-1)
    assert [score.probability for score in scorer.score(coloured)] == one_by_one


def test_how_a_photograph_was_captured_is_told_by_its_name(scorer: Scorer) -> None:
    assert [score.captured for score in scorer.score([grey(0), grey(9)])] == ["darker", "as in training"]


def test_band_and_label_follow_from_the_probability(scorer: Scorer) -> None:
    low, middle, high = scorer.score([grey(20), grey(128), grey(235)])
    assert (low.band, low.counterfeit) == ("likely genuine", False)
    assert (middle.band, middle.counterfeit) == ("unclear", True)
    assert (high.band, high.counterfeit) == ("likely counterfeit", True)
    assert low.heat_map is None


def test_heat_maps_have_a_cell_for_every_eight_pixels(scorer: Scorer) -> None:
    image = grey(0, SIZE)
    image.paste((255, 255, 255), (8, 16, 16, 24))  # column 1, row 2
    for kind, low, high in (("evidence", -4, 4), ("distance", 0, 2)):
        heat = scorer.score([image, grey(0)], kind)[0].heat_map
        assert heat is not None and heat.shape == (8, 8) and heat.dtype == np.float32
        expected = np.full((8, 8), low)
        expected[2, 1] = high
        np.testing.assert_allclose(heat, expected, atol=1e-6)


def test_probabilities_are_finite_for_any_logit() -> None:
    logit = np.array([-1e4, -2.0, 0.0, 2.0, 1e4], np.float32)
    np.testing.assert_allclose(probability_of(logit), [0, 1 / (1 + np.e**2), 0.5, 1 / (1 + np.e**-2), 1], atol=1e-12)


def test_folders_without_a_finished_detector_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        Scorer.load(tmp_path / "absent")
    with pytest.raises(UserError, match=r"holds no detector\.json"):
        Scorer.load(tmp_path)
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(UserError, match=r"did not finish.*counterfeit\.fit"):
        Scorer.load(tmp_path)
    (tmp_path / "detector.json").write_text('{"sha256": "0"}')
    with pytest.raises(UserError, match="damaged or of another version"):
        Scorer.load(tmp_path)


@pytest.mark.parametrize(("engine", "name"), [("torch", "detector.safetensors"), ("onnx", "detector.onnx")])
def test_files_that_the_card_does_not_describe_are_refused(stored: Path, engine: engines.EngineName, name: str) -> None:
    (stored / name).write_bytes(b"another")
    with pytest.raises(UserError, match=f"{name} is not the file"):
        Scorer.load(stored, engine)
    (stored / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        Scorer.load(stored, engine)


def test_onnx_needs_an_export(stored: Path) -> None:
    card = json.loads((stored / "detector.json").read_text())
    (stored / "detector.json").write_text(json.dumps({**card, "onnx_sha256": None}))
    with pytest.raises(UserError, match=r"counterfeit\.export"):
        Scorer.load(stored, "onnx")


def test_a_gpu_is_used_where_there_is_one(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(engines, "_detector_of", lambda card, content: "detector")
    monkeypatch.setattr(engines, "onnx_engine", lambda content, threads: brightness)
    used = []
    monkeypatch.setattr(graph, "torch_engine", lambda detector, device: used.append(device) or brightness)
    assert Scorer.load(stored, "auto", "cuda").engine_name == "torch"
    assert used == ["cuda"]
    assert Scorer.load(stored, "auto").engine_name == "onnx"


@pytest.mark.parametrize("engine", ["auto", "torch", "onnx"])
@pytest.mark.parametrize("device", ["foo", "cuda", "cuda:0", "cuda:x", ""])
def test_a_device_that_cannot_be_had_is_refused(
    stored: Path, monkeypatch: pytest.MonkeyPatch, engine: engines.EngineName, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"--device {device}"):
        Scorer.load(stored, engine, device)
