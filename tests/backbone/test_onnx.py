"""The export: padding as numbers changes no feature, and leaves nothing to be computed from an image's size."""

import numpy as np
import onnx
import onnxruntime
import torch

from counterfeit.backbone import load_backbone
from counterfeit.backbone.onnx import onnx_bytes, with_fixed_padding

SIZE = 96  # pixels


def test_fixed_padding_changes_no_feature_and_not_the_original() -> None:
    backbone = load_backbone()
    names = [name for name, _ in backbone.named_parameters()]
    fixed = with_fixed_padding(backbone, torch.zeros(1, 3, SIZE, SIZE))
    images = torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for one, other in zip(backbone(images), fixed(images), strict=True):
            assert torch.equal(one, other)
        backbone(torch.zeros(1, 3, 128, 64))  # the original still takes any size
    assert [name for name, _ in backbone.named_parameters()] == names


def test_the_exported_graph_computes_no_padding() -> None:
    example = torch.zeros(2, 3, SIZE, SIZE)
    fixed = with_fixed_padding(load_backbone(), example)
    axes = {name: {0: "n"} for name in ("images", "pooled", "patches")}
    content = onnx_bytes(fixed, example, ["images"], ["pooled", "patches"], axes)
    operations = {node.op_type for node in onnx.load_from_string(content).graph.node}
    assert "Ceil" not in operations  # which the padding is computed with
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).random((2, 3, SIZE, SIZE), np.float32)
    with torch.inference_mode():
        expected = [value.numpy() for value in load_backbone()(torch.from_numpy(images))]
    for ours, theirs in zip(session.run(None, {"images": images}), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
