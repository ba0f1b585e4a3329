"""The whole detector as one graph, from pixels of any size to scores and maps: in torch, and exported to ONNX."""

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.onnx import utils as onnx_export

from counterfeit.backbone.onnx import onnx_bytes, with_fixed_padding
from counterfeit.detector.engine import Engine, Outputs
from counterfeit.detector.module import Detector

SMOOTH = "aten::_upsample_bilinear2d_aa"
OPSET = 18  # the first in which Resize can smooth


class ScoringGraph(nn.Module):
    """Images ``(N, 3, H, W)`` uint8 to logits, evidence maps, distance maps and kinds of capture."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See :meth:`Detector.with_maps`."""
        return self.detector.with_maps(images)


def torch_engine(detector: Detector, device: str = "cpu") -> Engine:
    """The graph in torch, on any device."""
    graph = ScoringGraph(detector).to(device).eval()

    def run(pixels: NDArray[np.uint8]) -> Outputs:
        images = torch.from_numpy(np.array(pixels.transpose(0, 3, 1, 2), order="C")).to(device)
        with torch.inference_mode():
            return Outputs(*(value.cpu().numpy() for value in graph(images)))

    return run


def detector_onnx(detector: Detector) -> bytes:
    """The graph as ONNX: input ``images``, outputs named as in :class:`Outputs`, dynamic batch, height and width.

    The same detector gives the same bytes.
    """
    size, outputs = detector.size, list(Outputs._fields)
    axes = {"images": {0: "n", 2: "height", 3: "width"}, **{name: {0: "n"} for name in outputs}}
    example = torch.zeros(2, 3, size + 1, size - 1, dtype=torch.uint8)  # another size, so that resizing is recorded
    onnx_export.register_custom_op_symbolic(SMOOTH, functools.partial(_smooth_resize, size), OPSET)
    try:
        graph = with_fixed_padding(ScoringGraph(detector), example)
        return onnx_bytes(graph, example, ["images"], outputs, axes, OPSET)
    finally:
        onnx_export.unregister_custom_op_symbolic(SMOOTH, OPSET)


def _smooth_resize(size: int, graph: Any, images: Any, *_: Any) -> Any:
    """``interpolate(mode="bilinear", antialias=True)``, which the exporter lacks.

    ``exclude_outside`` makes the two agree at the border: torch gives no weight to what lies outside of the image.
    """
    nothing = graph.op("Constant", value_t=torch.tensor([], dtype=torch.float32))
    sides = graph.op("Constant", value_t=torch.tensor([size, size]))
    return graph.op(
        "Resize",
        images,
        nothing,
        nothing,
        sides,
        antialias_i=1,
        axes_i=[2, 3],
        coordinate_transformation_mode_s="half_pixel",
        exclude_outside_i=1,
        mode_s="linear",
    )
