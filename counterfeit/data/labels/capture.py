"""From flat artwork to a photograph: wear, then perspective, surroundings, light, optics, sensor and codec.

Genuine and counterfeit labels take this same way, and nothing on it looks at the artwork or at the class.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from counterfeit.data.labels.artwork import Picture
from counterfeit.data.labels.brands import Layout
from counterfeit.data.labels.strokes import Coverage
from counterfeit.data.labels.texture import SURFACES, Plane, smooth_noise, surface

Scene = NDArray[np.float32]
"""What the camera sees: `(size, size, 3)`, RGB, 0 to 255."""

SUPERSAMPLING = 2
"""Labels are warped into a frame this many times finer than the photograph."""
_LABEL_SHARE = 0.93
QUALITIES = (75, 95)
"""The range of JPEG qualities, both ends included."""


def label_side(size: int) -> int:
    """Return the resolution of the artwork, in pixels per label unit, for photographs of `size` pixels."""
    return round(SUPERSAMPLING * _LABEL_SHARE * size)


def wear(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a used label: faded in places, with creases and scuffs."""
    shape = (picture.shape[1], picture.shape[2])
    amount = 0.5 * rng.uniform(0.0, 1.0) ** 1.5
    gain = 1 + 0.05 * amount * smooth_noise(rng, shape, (5, 5))
    marks = np.zeros(shape, np.float32)
    for _ in range(int(rng.poisson(2.0 * amount))):
        ends = rng.uniform(0, 1, (2, 2)) * shape[::-1]
        beside = ends + rng.uniform(0.5, 2.5, 2)
        for (start, end), least in ((ends, 10), (beside, -30)):
            tone = float(rng.uniform(least, least + 20))
            cv2.line(marks, start.astype(int).tolist(), end.astype(int).tolist(), tone, 1, cv2.LINE_AA)
    for _ in range(int(rng.poisson(5.0 * amount))):
        centre = np.rint(rng.uniform(0, 1, 2) * shape[::-1]).astype(int)
        reach = (int(rng.integers(1, 4)), int(rng.integers(1, 3)))
        cv2.ellipse(marks, centre.tolist(), reach, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(-30, 40)), -1)
    marks = np.asarray(cv2.GaussianBlur(marks, (3, 3), 0), np.float32)
    haze = 0.12 * amount * np.clip(smooth_noise(rng, shape, (4, 4)), 0, None)
    return np.asarray((picture + haze * (190 - picture)) * gain + marks, np.float32)


def _corners(layout: Layout, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return where the label's corners fall in a frame of `size` pixels, clockwise from the top left."""
    half = 0.5 * np.array([layout.width, layout.height]) * _LABEL_SHARE
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half * rng.uniform(0.93, 1.03)
    corners *= 1 + rng.uniform(-0.02, 0.02, (4, 2))
    angle = np.deg2rad(rng.normal(0, 2.5))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(size * (corners @ turn + 0.5 + rng.uniform(-0.025, 0.025, 2)), np.float32)


def _background(size: int, rng: np.random.Generator) -> Scene:
    """Return a tinted, randomly cropped and turned surface."""
    side = 2 * size
    picture = surface(str(rng.choice(SURFACES)), side)
    top, left = rng.integers(0, side - size, 2)
    crop = picture[top : top + size, left : left + size]
    if rng.random() < 0.5:
        crop = crop.transpose(1, 0, 2)
    tint = rng.uniform(0.85, 1.12) * rng.uniform(0.94, 1.06, 3)
    return np.asarray(crop[:: rng.choice([-1, 1])] * tint.astype(np.float32), np.float32)


def _cord(layout: Layout, homography: NDArray[np.float64], size: int, rng: np.random.Generator) -> Coverage | None:
    """Return the string through a hang tag's hole, or None for a label without one."""
    knot, ends = rng.uniform(0.3, 0.7), rng.uniform(-0.12, 0.12, 2)
    if layout.hole is None:
        return None
    hole = np.array([[[layout.hole.x, layout.hole.y]]], np.float64) * label_side(size)
    start = cv2.perspectiveTransform(hole, homography)[0, 0]
    steps = np.linspace(0, 1, 20)[:, None]
    fine = SUPERSAMPLING * size
    strands = []
    for end in ends:
        middle, last = np.array([knot * fine, 0.1 * start[1]]), np.array([(0.5 + 2 * end) * fine, -4.0])
        curve = (1 - steps) ** 2 * start + 2 * steps * (1 - steps) * middle + steps**2 * last
        strands.append(np.rint(16 * curve).astype(np.int32))
    layer = np.zeros((fine, fine), np.uint8)
    cv2.polylines(layer, strands, False, 255, max(2, round(0.013 * fine)), cv2.LINE_AA, 4)
    return np.asarray(cv2.resize(layer, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def _cast_shadow(picture: Scene, coverage: Plane, rng: np.random.Generator, strength: float) -> None:
    """Darken a picture in place where something above it keeps the light away."""
    size = len(coverage)
    by = rng.uniform(-0.025, 0.025, 2) * size
    moved = cv2.warpAffine(coverage, np.array([[1, 0, by[0]], [0, 1, abs(by[1]) + 0.006 * size]]), (size, size))
    picture *= 1 - strength * cv2.GaussianBlur(moved, (0, 0), 0.016 * size)[..., None]


@lru_cache(maxsize=4)
def _grid(size: int) -> tuple[Plane, Plane]:
    """Return x and y from -1 to 1."""
    x, y = np.meshgrid(np.linspace(-1, 1, size, dtype=np.float32), np.linspace(-1, 1, size, dtype=np.float32))
    return x, y


def _light(picture: Scene, rng: np.random.Generator) -> Scene:
    """Return the scene under uneven, tinted light with a soft highlight and a vignette."""
    x, y = _grid(len(picture))
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.12)
    shade = 1 + slope * (np.cos(angle) * x + np.sin(angle) * y) - rng.uniform(0.0, 0.10) * (x * x + y * y)
    spot = rng.uniform(-0.9, 0.9, 2)
    width = rng.uniform(0.25, 0.7)
    glare = rng.uniform(0.0, 15.0) * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (width * width))
    white = rng.uniform(0.93, 1.05) * rng.uniform(0.965, 1.035, 3).astype(np.float32)
    return np.asarray(picture * shade[..., None] * white + glare[..., None], np.float32)


def _camera(picture: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return what a lens and a sensor make of a scene: blur, noise that grows with light, 8 bits."""
    size = len(picture)
    blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.2, 0.36) * size / 128)
    if rng.random() < 0.1:
        kernel = np.zeros((3, 3), np.float32)
        cv2.line(kernel, (1, 1), tuple(rng.integers(0, 3, 2).tolist()), 1.0)
        blurred = cv2.filter2D(blurred, -1, kernel / kernel.sum())
    sigma = rng.uniform(1.0, 2.6) * np.sqrt(0.4 + np.clip(blurred, 0, 255) / 255)
    noisy = blurred + sigma * rng.standard_normal(picture.shape, np.float32)
    return np.asarray(np.rint(np.clip(noisy, 0, 255)), np.uint8)


def photograph(
    picture: Picture, outline: Coverage, mask: NDArray[np.uint8], layout: Layout, size: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Photograph a flat label, and take its mask along the same way.

    Returns the photograph `(size, size, 3)`, RGB, before the codec, and the mask `(size, size)`, 0 or 255.
    """
    fine = SUPERSAMPLING * size
    height, width = outline.shape
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    homography = np.asarray(cv2.getPerspectiveTransform(flat, _corners(layout, fine, rng)), np.float64)
    premultiplied = np.clip(picture, 0, 255) * (outline * np.float32(1 / 255))
    flat_label = cv2.merge([*premultiplied.astype(np.uint8), outline])
    warped = cv2.warpPerspective(flat_label, homography, (fine, fine), flags=cv2.INTER_LINEAR)
    label = cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    coverage = np.asarray(label[..., 3] / 255, np.float32)

    scene = _background(size, rng)
    _cast_shadow(scene, coverage, rng, rng.uniform(0.35, 0.6))
    scene = np.asarray(label[..., :3] + (1 - coverage[..., None]) * scene, np.float32)
    cord = _cord(layout, homography, size, rng)
    if cord is not None:
        strand = np.asarray(cord / 255, np.float32)
        _cast_shadow(scene, strand, rng, 0.4)
        scene += strand[..., None] * (np.array([214, 202, 178], np.float32) - scene)
    image = _camera(_light(scene, rng), rng)
    marked = cv2.resize(cv2.warpPerspective(mask, homography, (fine, fine)), (size, size), interpolation=cv2.INTER_AREA)
    return image, np.asarray((marked > 64) * np.uint8(255), np.uint8)


def encode(image: NDArray[np.uint8], quality: int) -> bytes:
    """Return a JPEG file of an RGB image."""
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG; is it built without it?")
    return data.tobytes()


def decode(data: bytes) -> NDArray[np.uint8]:
    """Return the RGB image in a JPEG file."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(bgr, np.uint8)[..., ::-1])
