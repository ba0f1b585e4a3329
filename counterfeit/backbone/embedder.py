"""Embeddings of many images: computed once in ONNX Runtime or torch, kept in a content-keyed cache."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from counterfeit.backbone.network import GRID_STRIDE, Backbone, load_backbone
from counterfeit.backbone.onnx import onnx_bytes, with_fixed_padding
from counterfeit.cache import ArrayCache

Pass = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float16]]]
BATCH = 32  # images in one frozen pass


@dataclass(frozen=True)
class Embeddings:
    """What the backbone saw of ``N`` images.

    Attributes:
        pooled: ``(N, pooled_features)`` float32.
        patches: ``(N, G, G, patch_features)`` float16, ``G`` = image size / 8.
    """

    pooled: NDArray[np.float32]
    patches: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.pooled)

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> "Embeddings":
        return Embeddings(self.pooled[rows], self.patches[rows])

    @staticmethod
    def concatenate(parts: Sequence["Embeddings"]) -> "Embeddings":
        """All parts, one after the other."""
        return Embeddings(np.concatenate([p.pooled for p in parts]), np.concatenate([p.patches for p in parts]))


class Embedder:
    """The frozen pass over images of one size, with or without a cache.

    Args:
        backbone: a timm name, see :func:`load_backbone`.
        size: side of the square images in pixels, a multiple of 32.
        cache: folder of the cache; ``None`` computes everything anew.
        device: where torch runs the pass; on ``cpu`` ONNX Runtime does, which is about three times as fast.
        network: a tuned backbone of that name, which must not share a cache with others; the pretrained one if none.
    """

    def __init__(
        self,
        backbone: str,
        size: int,
        cache: Path | None = None,
        device: str = "cpu",
        network: Backbone | None = None,
    ) -> None:
        self.name, self.size, self.device = backbone, size, device
        self.network = network or load_backbone(backbone)
        self.grid = size // GRID_STRIDE
        self._pass: Pass | None = None
        self._caches: tuple[ArrayCache, ArrayCache] | None = None
        if cache is not None:
            shape = (self.grid, self.grid, self.network.patch_features)
            self._caches = (
                ArrayCache(cache, f"pooled-{backbone}-{size}", (self.network.pooled_features,), np.float32),
                ArrayCache(cache, f"patches-{backbone}-{size}", shape, np.float16),
            )

    def __call__(self, pixels: NDArray[np.uint8]) -> Embeddings:
        """Embed images ``(N, size, size, 3)`` without the cache."""
        parts = [Embeddings(*self._run(pixels[i : i + BATCH])) for i in range(0, len(pixels), BATCH)]
        if not parts:
            empty = np.empty((0, self.grid, self.grid, self.network.patch_features), np.float16)
            return Embeddings(np.empty((0, self.network.pooled_features), np.float32), empty)
        return Embeddings.concatenate(parts)

    def cached(self, keys: Sequence[str], pixels: Callable[[list[str]], NDArray[np.uint8]], what: str) -> Embeddings:
        """Embeddings of content-keyed images; only those that the cache lacks are computed.

        Args:
            keys: one key an image, which must name its content (and its augmentation).
            pixels: gives the images ``(n, size, size, 3)`` of some of the keys.
            what: the name of the work on the progress bar.
        """
        if self._caches is None:
            return self(pixels(list(keys)))
        pooled, patches = self._caches
        missing = sorted(set(pooled.missing(keys)) | set(patches.missing(keys)))
        chunks = [missing[i : i + BATCH] for i in range(0, len(missing), BATCH)]
        shown = track(chunks, description=what, transient=True, disable=len(chunks) < 8)
        for chunk, images in zip(shown, read_ahead(pixels, chunks), strict=True):
            result = self._run(images)
            pooled.append(chunk, result[0])
            patches.append(chunk, result[1])
        return Embeddings(pooled.rows(keys), patches.rows(keys))  # type: ignore[arg-type]

    def _run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
        if self._pass is None:
            cpu = self.device == "cpu"
            self._pass = onnx_pass(self.network, self.size) if cpu else torch_pass(self.network, self.device)
        return self._pass(np.ascontiguousarray(pixels))


def read_ahead(
    pixels: Callable[[list[str]], NDArray[np.uint8]], chunks: Sequence[list[str]]
) -> Iterator[NDArray[np.uint8]]:
    """The images of each chunk in turn; the next ones are read and augmented in a thread beside the caller's work."""
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(pixels, chunk) for chunk in chunks[:1]]
        for number in range(1, len(chunks) + 1):
            images = coming.pop().result()
            coming = [reader.submit(pixels, chunk) for chunk in chunks[number : number + 1]]
            yield images


class _Uint8Pass(torch.nn.Module):
    """Images as they are stored, ``(N, S, S, 3)`` uint8, to pooled float32 and patches float16."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        pooled, patches = self.backbone(pixels.permute(0, 3, 1, 2).float() / 255)
        return pooled, patches.half()


def torch_pass(backbone: Backbone, device: str) -> Pass:
    """The frozen pass in torch, on any device."""
    module = _Uint8Pass(backbone).to(device)

    def run(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
        with torch.inference_mode():
            pooled, patches = module(torch.from_numpy(pixels).to(device))
        return pooled.cpu().numpy(), patches.cpu().numpy()

    return run


def onnx_pass(backbone: Backbone, size: int, threads: int | None = None) -> Pass:
    """The frozen pass in ONNX Runtime on the CPU.

    Args:
        backbone: the network to export.
        size: side of the square images in pixels.
        threads: processor threads; as many as torch uses unless told.
    """
    axes = {name: {0: "n"} for name in ("pixels", "pooled", "patches")}
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    module = with_fixed_padding(_Uint8Pass(backbone), example)
    content = onnx_bytes(module, example, ["pixels"], ["pooled", "patches"], axes)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    # Waiting threads that spin would take the processor from torch between two passes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
        pooled, patches = session.run(None, {"pixels": pixels})
        return pooled, patches

    return run
