"""One detector in torch and in ONNX Runtime: the check tells another one, and real photographs pass it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from counterfeit.backbone import Embedder
from counterfeit.data.labels import draw_label
from counterfeit.detector import Detector, Scorer, score_parts
from counterfeit.detector.engine import PASS, Engine, Outputs, onnx_engine
from counterfeit.detector.graph import ScoringGraph, detector_onnx, torch_engine
from counterfeit.detector.heads import log_distances, with_distances
from counterfeit.detector.parity import TOLERANCE, awkward_images, parity
from counterfeit.detector.scorer import Photograph, decode_photograph
from tests.detector.test_stream import made_card

SHARED = Path(__file__).parents[3] / "shared/data"
COMPARED, FITTED = 500, 120


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(0)
    detector = Detector(size=64, folds=2, bank=16, hidden=4).eval()
    for bank in (detector.distances.relative, detector.distances.absolute):
        bank.entries.copy_(torch.nn.functional.normalize(torch.randn_like(bank.entries), dim=1))
    detector.distances.placed.whitening.copy_(torch.eye(*detector.distances.placed.whitening.shape[1:]))
    torch.nn.init.normal_(detector.image_heads.weight, std=0.01)
    detector.evidence.standardise_to(torch.randn(20, 5, 8, 8))
    torch.nn.init.normal_(detector.captures.weight)  # sees all kinds of captures, which change no score
    torch.nn.init.zeros_(detector.captures.bias)
    return detector


def shifted(engine: Engine, by: float) -> Engine:
    def run(pixels: np.ndarray) -> Outputs:
        outputs = engine(pixels)
        return outputs._replace(logit=outputs.logit + np.float32(by))

    return run


def test_the_graph_in_torch_is_the_detector(detector: Detector) -> None:
    found = parity(detector, torch_engine(detector), 0.5, awkward_images(64))
    assert found.holds and found.largest < 1e-6 and found.n == 44


def test_both_engines_call_the_same_kinds_of_capture(detector: Detector) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 1, 1, 3)) + np.zeros((1, 64, 64, 1), int)
    pixels = (pixels + np.random.default_rng(1).normal(0, 20, (40, 64, 64, 3))).clip(0, 255).astype(np.uint8)
    ours, theirs = (engine(pixels).capture for engine in (torch_engine(detector), onnx_engine(detector_onnx(detector))))
    assert ours.tolist() == theirs.tolist() and ours.dtype == theirs.dtype == np.int64
    assert 2 < len(np.unique(ours)) <= len(detector.captures.names) and ours.max() > 5


@pytest.mark.parametrize("by", [1e-3, -1.0])
def test_a_shifted_engine_does_not_hold(detector: Detector, by: float) -> None:
    found = parity(detector, shifted(torch_engine(detector), by), 0.5, awkward_images(64)[:4])
    assert not found.holds and found.largest == pytest.approx(abs(by) / 4, rel=0.05)


def test_one_other_label_does_not_hold(detector: Detector) -> None:
    images = awkward_images(64)[:4]
    with torch.inference_mode():
        logit = float(detector(torch.from_numpy(images[0].transpose(2, 0, 1).copy())[None]))
    threshold = 1 / (1 + np.exp(-(logit + 5e-5)))
    found = parity(detector, shifted(torch_engine(detector), 1e-4), threshold, images)
    assert found.largest < TOLERANCE and found.flips >= 1 and not found.holds


def test_one_pass_looks_at_patches_once(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, part in (("distances", detector.distances), ("heads", detector.patch_heads))
    ]
    images = torch.randint(0, 256, (2, 3, 50, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logit, patch, distance, capture = ScoringGraph(detector)(images)
        for hook in hooks:
            hook.remove()
        assert sorted(calls) == ["distances", "heads"]
        torch.testing.assert_close(logit, detector(images), rtol=0, atol=1e-6)
    assert patch.shape == distance.shape == (2, 8, 8)
    assert capture.shape == (2,) and capture.dtype == torch.int64
    assert distance.min() >= 0 and distance.max() <= 2


@pytest.mark.parametrize("threads", [1, 3])
def test_passes_side_by_side_keep_the_order(detector: Detector, threads: int) -> None:
    engine = onnx_engine(detector_onnx(detector), threads)
    pixels = np.random.default_rng(0).integers(0, 256, (2 * PASS + 3, 64, 64, 3), dtype=np.uint8)
    alone = [engine(image[None]) for image in pixels]
    for count in (1, 2, PASS, len(pixels)):
        together = engine(pixels[:count])
        assert together.evidence_map.shape == (count, 8, 8)
        for name, values in together._asdict().items():
            expected = np.concatenate([getattr(one, name) for one in alone[:count]])
            np.testing.assert_allclose(values, expected, atol=2e-5, err_msg=name)


def sources() -> tuple[list[Photograph], list[int]]:
    """Photographs and labels, counterfeit = 1: real ones where they are, else drawn."""
    count = COMPARED + FITTED
    files = sorted(SHARED.rglob("*.jpg"))
    if len(files) < count:
        label = [i % 2 for i in range(count)]
        return [draw_label(i, counterfeit=bool(y), size=256, seed=5).image for i, y in enumerate(label)], label
    chosen = [files[i] for i in np.random.default_rng(0).choice(len(files), count, replace=False)]
    return list(chosen), [int(path.parent.name == "counterfeit") for path in chosen]


def fitted(photographs: Sequence[Photograph], label: Sequence[int]) -> Detector:
    """Bank, scales, weights and calibration from photographs; the heads are left as they were drawn."""
    torch.manual_seed(0)
    detector = Detector(folds=2, bank=256).eval()
    torch.nn.init.normal_(detector.image_heads.weight, std=0.01)
    labels = np.array(label)
    seen = Embedder("tf_efficientnet_lite0", 128)(np.stack([decode_photograph(one, 128) for one in photographs]))
    patches = torch.from_numpy(seen.patches[labels == 0])
    detector.distances.fit(patches, torch.zeros(len(patches), dtype=torch.long), torch.Generator().manual_seed(0))
    detector.image_heads.standardise_to(
        torch.from_numpy(seen.pooled), torch.from_numpy(labels), torch.zeros(len(labels))
    )
    with torch.inference_mode():
        known = with_distances(patches, log_distances(detector.distances(patches))).flatten(0, 2)
    for heads in (detector.patch_heads, detector.mask_heads):
        heads.standardise_to(known)
    parts = score_parts(detector, seen)
    detector.combination.fit(parts.double().numpy(), labels, 1.0)
    detector.combination.calibrate(parts, labels)
    return detector


@pytest.mark.slow
def test_both_engines_say_the_same_of_500_photographs(tmp_path: Path) -> None:
    photographs, label = sources()
    detector = fitted(photographs[COMPARED:], label[COMPARED:])
    photographs = photographs[:COMPARED]
    first = torch_engine(detector)
    logits = [score.probability for score in Scorer(made_card(tmp_path, size=128), first, "torch").score(photographs)]
    card = made_card(tmp_path, float(np.median(logits)), size=128)  # where most labels could change
    in_torch = Scorer(card, first, "torch").score(photographs, "evidence")
    in_onnx = Scorer(card, onnx_engine(detector_onnx(detector)), "onnx").score(photographs, "evidence")
    probability = np.array([[score.probability for score in scores] for scores in (in_torch, in_onnx)])
    assert np.ptp(probability[0]) > 0.2  # or agreement would say little
    assert np.abs(probability[0] - probability[1]).max() <= TOLERANCE
    assert [score.counterfeit for score in in_torch] == [score.counterfeit for score in in_onnx]
    assert 0.4 < np.mean([score.counterfeit for score in in_torch]) < 0.6
    for a, b in zip(in_torch, in_onnx, strict=True):
        assert a.heat_map is not None and b.heat_map is not None and a.heat_map.shape == (16, 16)
        np.testing.assert_allclose(a.heat_map, b.heat_map, atol=1e-3)
