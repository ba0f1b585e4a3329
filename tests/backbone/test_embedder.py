"""Embeddings do not depend on who computes them, beside what, or when."""

from collections.abc import Callable

import numpy as np
import pytest

from counterfeit.backbone import Embedder, Embeddings, load_backbone
from counterfeit.backbone.embedder import torch_pass

NAME, SIZE = "tf_efficientnet_lite0", 64


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """40 images, more than one batch: blurred noise of different strengths."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(40, SIZE // 8, SIZE // 8, 3)).repeat(8, 1).repeat(8, 2)
    strength = generator.uniform(10, 90, (40, 1, 1, 1))
    return np.clip(128 + strength * noise + generator.normal(0, 5, (40, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(NAME, SIZE)


@pytest.fixture(scope="module")
def embedded(embedder: Embedder, pixels: np.ndarray) -> Embeddings:
    return embedder(pixels)


def named(pixels: np.ndarray) -> tuple[list[str], Callable[[list[str]], np.ndarray], list[str]]:
    """A key for each image, the images by their keys, and the list of keys that were asked for."""
    asked: list[str] = []

    def fetch(keys: list[str]) -> np.ndarray:
        asked.extend(keys)
        return np.stack([pixels[int(key)] for key in keys])

    return [str(i) for i in range(len(pixels))], fetch, asked


def assert_same(first: Embeddings, second: Embeddings) -> None:
    np.testing.assert_array_equal(first.pooled, second.pooled)
    np.testing.assert_array_equal(first.patches, second.patches)


def test_shapes_and_types(embedded: Embeddings) -> None:
    assert len(embedded) == 40
    assert embedded.pooled.shape == (40, 1632) and embedded.pooled.dtype == np.float32
    assert embedded.patches.shape == (40, 8, 8, 176) and embedded.patches.dtype == np.float16


def test_onnx_runtime_agrees_with_torch(embedded: Embeddings, pixels: np.ndarray) -> None:
    pooled, patches = torch_pass(load_backbone(NAME), "cpu")(pixels)
    assert np.abs(embedded.pooled - pooled).max() <= 1e-4 * np.abs(pooled).max()
    # Half precision: neighbouring numbers are up to a thousandth apart.
    assert np.abs(embedded.patches.astype("f4") - patches.astype("f4")).max() <= 1e-3 * np.abs(patches).max()


def test_an_image_embeds_to_the_same_bits_wherever_it_stands_in_a_batch(
    embedder: Embedder, embedded: Embeddings, pixels: np.ndarray
) -> None:
    assert_same(embedder(pixels[::-1]), embedded[::-1])
    for rows in (slice(0, 1), slice(3, 10), slice(31, 34)):
        assert_same(embedder(pixels[rows]), embedded[rows])


def test_no_images_have_empty_embeddings(embedder: Embedder, pixels: np.ndarray) -> None:
    nothing = embedder(pixels[:0])
    assert nothing.pooled.shape == (0, 1632) and nothing.patches.shape == (0, 8, 8, 176)


def test_rows_and_concatenation_are_inverse(embedded: Embeddings) -> None:
    even = np.arange(40) % 2 == 0
    assert_same(Embeddings.concatenate([embedded[:7], embedded[7:]]), embedded)
    assert_same(embedded[even], embedded[np.flatnonzero(even)])


def test_cached_equals_uncached_and_a_second_call_computes_nothing(tmp_path, embedded, pixels, monkeypatch) -> None:
    keys, fetch, asked = named(pixels)
    cached = Embedder(NAME, SIZE, tmp_path)
    assert_same(cached.cached(keys, fetch, "embedding"), embedded)
    assert sorted(asked) == sorted(keys)
    asked.clear()
    reopened = Embedder(NAME, SIZE, tmp_path)
    monkeypatch.setattr(reopened, "_run", lambda pixels: pytest.fail("computed again"))
    assert_same(reopened.cached(keys[::-1], fetch, "embedding"), embedded[::-1])
    assert not asked


def test_only_what_the_cache_lacks_is_computed_and_each_key_once(tmp_path, embedded, pixels) -> None:
    keys, fetch, asked = named(pixels)
    cached = Embedder(NAME, SIZE, tmp_path)
    cached.cached(keys[:3], fetch, "embedding")
    asked.clear()
    assert_same(cached.cached(["1", "4", "4", "0"], fetch, "embedding"), embedded[np.array([1, 4, 4, 0])])
    assert asked == ["4"]


def test_without_a_folder_everything_is_computed(embedder, embedded, pixels) -> None:
    keys, fetch, asked = named(pixels)
    assert_same(embedder.cached(keys[:2], fetch, "embedding"), embedded[:2])
    assert asked == ["0", "1"]


def test_sizes_do_not_share_a_cache(tmp_path, pixels) -> None:
    keys, fetch, asked = named(pixels)
    Embedder(NAME, SIZE, tmp_path).cached(keys[:1], fetch, "embedding")
    small = Embedder(NAME, 32, tmp_path).cached(keys[:1], lambda names: fetch(names)[:, ::2, ::2], "embedding")
    assert small.patches.shape == (1, 4, 4, 176)
    assert asked == ["0", "0"]
