"""A torch module as ONNX, in memory."""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import get_same_padding
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


def with_fixed_padding(module: nn.Module, example: Tensor) -> nn.Module:
    """A copy for images of one size, in which the padding of convolutions stands as numbers.

    TensorFlow's padding (timm's ``Conv2dSame``) is computed from the size in every pass otherwise. ONNX Runtime cannot
    join that with the convolution then, which measured a sixth of the time of EfficientNet-Lite0.

    Args:
        module: gives the same with it.
        example: an input; the maps inside of the module must have these sizes for every other one.
    """
    module = copy.deepcopy(module).eval()
    sizes: dict[nn.Module, torch.Size] = {}
    named = [(name, part) for name, part in module.named_modules() if isinstance(part, Conv2dSame)]
    hooks = [
        part.register_forward_pre_hook(lambda one, given: sizes.update({one: given[0].shape[-2:]})) for _, part in named
    ]
    with torch.inference_mode():
        module(example)
    for hook in hooks:
        hook.remove()
    for name, part in named:
        module.set_submodule(name, nn.Sequential(_padding(part, sizes[part]), _unpadded(part)))
    return module


def _padding(convolution: Conv2dSame, size: torch.Size) -> nn.Module:
    shape = zip(size, convolution.kernel_size, convolution.stride, convolution.dilation, strict=True)
    down, right = (int(get_same_padding(*sides)) for sides in shape)
    return nn.ZeroPad2d((right // 2, right - right // 2, down // 2, down - down // 2))


def _unpadded(convolution: Conv2dSame) -> nn.Module:
    plain = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        dilation=convolution.dilation,  # type: ignore[arg-type]
        groups=convolution.groups,
        bias=convolution.bias is not None,
    )
    plain.load_state_dict(convolution.state_dict())
    return plain.eval()


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
