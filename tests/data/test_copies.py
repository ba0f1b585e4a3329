"""Copies are found across two sets, and unrelated images are not taken for copies."""

import cv2
import numpy as np
from PIL import Image

from counterfeit.data.copies import find_copies


def textures(count, seed):
    coarse = np.random.default_rng(seed).integers(30, 225, (count, 12, 12, 3), np.uint8)
    return np.stack([cv2.resize(image, (96, 96), interpolation=cv2.INTER_CUBIC) for image in coarse])


def turned(image, degrees):
    return np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BICUBIC))


def test_turned_mirrored_and_brightened_copies_are_found_and_nothing_else():
    references, queries = textures(20, 0), textures(12, 1)
    queries[2] = turned(references[5], 8)
    queries[7] = references[11][:, ::-1]
    queries[9] = np.clip(references[3] * 1.15, 0, 255).astype(np.uint8)
    found = find_copies(queries, references, examined=24, seed=0)
    assert {(copy.query, copy.reference) for copy in found.copies} == {(2, 5), (7, 11), (9, 3)}
    assert found.examined == 24
    assert all(copy.agreement > 0.7 for copy in found.copies)


def test_the_most_similar_pairs_are_examined_first():
    references, queries = textures(20, 0), textures(12, 1)
    queries[4] = references[8]
    found = find_copies(queries, references, examined=1, seed=0)
    assert [(copy.query, copy.reference) for copy in found.copies] == [(4, 8)]


def test_nothing_to_compare():
    empty = np.empty((0, 64, 64, 3), np.uint8)
    assert find_copies(empty, textures(2, 0), examined=5, seed=0).copies == []
