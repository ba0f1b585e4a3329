"""A torch module as ONNX, in memory."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


def onnx_bytes(
    module: nn.Module,
    example: Tensor,
    inputs: list[str],
    outputs: list[str],
    axes: Mapping[str, Mapping[int, str]],
    opset: int | None = None,
) -> bytes:
    """The ONNX file of a module; the same module gives the same bytes.

    Args:
        module: to be traced.
        example: an input.
        inputs: names.
        outputs: names.
        axes: the dimensions of inputs and outputs that may vary, by number, with a name for each.
        opset: version of the operators; the exporter's own choice unless told.
    """
    buffer = io.BytesIO()
    with _quiet_export(), torch.inference_mode():
        torch.onnx.export(
            module.eval(),
            (example,),
            buffer,  # type: ignore[arg-type]  # the TorchScript exporter, unlike the annotation, takes a file object
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=opset,
            dynamo=False,
        )
    return buffer.getvalue()


@contextlib.contextmanager
def _quiet_export() -> Iterator[None]:
    """The exporter warns of its own future; nothing in that is the user's to mend."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
