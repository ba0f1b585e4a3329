"""What is common elsewhere is found odd at a place, and a genuine training image is never compared with itself."""

import numpy as np
import pytest
import torch

from counterfeit.backbone.places import CHANNELS, DIRECTIONS, FLOOR, GenuinePlaces

IMAGES, GRID, WIDTH, FOLDS = 120, 4, 16, 3
FOLD = torch.arange(IMAGES) % FOLDS


def drawn(images: int, seed: int) -> torch.Tensor:
    """Patches whose mean and spread are the place's own."""
    of_place = torch.Generator().manual_seed(100)
    mean = 3 * torch.randn(GRID, GRID, WIDTH, generator=of_place)
    ways = torch.randn(GRID, GRID, WIDTH, WIDTH, generator=of_place)
    noise = torch.randn(images, GRID, GRID, WIDTH, generator=torch.Generator().manual_seed(seed))
    return mean + torch.einsum("nghc,ghcd->nghd", noise, ways)


def fitted(
    patches: torch.Tensor, fold: torch.Tensor = FOLD, dtype: torch.dtype = torch.half, folds: int = FOLDS
) -> GenuinePlaces:
    made = GenuinePlaces(patches.shape[-1], patches.shape[1], folds)
    made.whitening = made.whitening.to(dtype)
    made.fit(patches, fold)
    return made


@pytest.fixture(scope="module")
def places() -> GenuinePlaces:
    return fitted(drawn(IMAGES, 0))


def test_the_distance_is_that_of_mahalanobis_along_directions_of_least_variance() -> None:
    known, fresh = drawn(IMAGES, 0)[:, :1, :1], drawn(5, 1)[:, :1, :1]  # one place: there is nothing around it
    unit = known.std((0, 1, 2))
    points = (known / unit).reshape(IMAGES, WIDTH).double().numpy()
    covariance = np.cov(points.T, bias=True)
    covariance += FLOOR * np.trace(covariance) / WIDTH * np.eye(WIDTH)
    offset = (fresh / unit).reshape(5, WIDTH).double().numpy() - points.mean(0)
    variance, direction = np.linalg.eigh(covariance)
    along = (offset @ direction)[:, : WIDTH // DIRECTIONS] ** 2 / variance[: WIDTH // DIRECTIONS]
    expected = np.sqrt(along.mean(1))
    assert fitted(known)(fresh)[:, 0, 0].numpy() == pytest.approx(expected, rel=2e-3)  # kept in half precision


@pytest.fixture
def every_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterfeit.backbone.places.DIRECTIONS", 1)


@pytest.mark.usefixtures("every_direction")
def test_genuine_images_to_come_lie_a_little_less_than_a_deviation_away() -> None:
    found = fitted(drawn(IMAGES, 0))(drawn(200, 1))
    assert found.shape == (200, GRID, GRID)
    assert 0.7 < found.mean().item() < 1  # the floor takes from what is otherwise 1


def test_along_directions_of_least_variance_the_floor_takes_more(
    places: GenuinePlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0.5 < places(drawn(200, 1)).mean().item() < 0.7
    monkeypatch.setattr("counterfeit.backbone.places.FLOOR", 0.0)
    alone = fitted(drawn(2000, 0)[:, :1, :1], torch.arange(2000) % FOLDS)
    assert alone(drawn(2000, 1)[:, :1, :1]).square().mean().sqrt().item() == pytest.approx(1, abs=0.03)


def test_what_is_common_elsewhere_is_odd_here(places: GenuinePlaces) -> None:
    fresh = drawn(30, 2)
    exchanged = fresh.clone()
    exchanged[:, 0, 0], exchanged[:, 3, 2] = fresh[:, 3, 2], fresh[:, 0, 0]
    change = places(exchanged) - places(fresh)
    assert change[:, [0, 3], [0, 2]].mean() > 1 and (change[:, [0, 3], [0, 2]] > 0).float().mean() > 0.95
    change[:, [0, 3], [0, 2]] = 0
    assert change.abs().max() < 1e-4


def test_each_fold_is_compared_with_the_others_alone() -> None:
    known, exact = drawn(IMAGES, 0), fitted(drawn(IMAGES, 0), dtype=torch.float)
    for number in range(FOLDS):
        out = number == FOLD
        others = fitted(known[~out], FOLD[~out], torch.float)
        torch.testing.assert_close(exact(known, FOLD)[out], others(known[out]), atol=0, rtol=1e-3)


def test_a_training_image_looks_no_more_genuine_than_one_to_come(places: GenuinePlaces) -> None:
    known = drawn(IMAGES, 0)
    fresh = places(drawn(200, 1)).mean()
    assert places(known).mean() < 0.98 * fresh < places(known, FOLD).mean()


def test_what_a_checkpoint_leaves_out_is_asked_for(places: GenuinePlaces) -> None:
    known, other = drawn(IMAGES, 0), GenuinePlaces(WIDTH, GRID, FOLDS)
    other.load_state_dict(places.state_dict())
    assert torch.equal(other(known), places(known))
    with pytest.raises(RuntimeError, match="checkpoint"):
        other(known, FOLD)
    other.crossed = places.crossed
    assert torch.equal(other(known, FOLD), places(known, FOLD))


def excess(side: int) -> float:
    """How much farther images to come lie with 20 genuine ones than with 2000."""
    fresh = drawn(200, 1)[:, :side, :side]
    few, many = (fitted(drawn(n, 0)[:, :side, :side], torch.arange(n) % FOLDS)(fresh).mean() for n in (20, 2000))
    return (few / many).item()


@pytest.mark.usefixtures("every_direction")
def test_a_few_images_suffice_for_many_channels_as_places_share_what_is_around_them() -> None:
    # Covariances of 20 images alone are far too small for images to come.
    assert excess(side=GRID) < 1.2 and excess(side=1) > 1.15


def test_sharing_matters_more_along_directions_of_least_variance() -> None:
    assert excess(side=GRID) < 0.7 * excess(side=1)


def test_the_order_of_a_few_images_does_not_choose_the_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    few, fresh = (torch.randn(n, GRID, GRID, 64, generator=generator) for n in (6, 20))  # 24 patches around a corner

    def largest_change() -> float:
        one, other = (fitted(x, torch.zeros(6, dtype=torch.long), torch.float, 1)(fresh) for x in (few, few.flip(0)))
        return (one / other - 1).abs().max().item()

    assert largest_change() < 0.01
    monkeypatch.setattr("counterfeit.backbone.places.EVERYWHERE", 0.0)
    assert largest_change() > 0.1  # rounding did


def test_of_many_channels_some_are_compared() -> None:
    wide = torch.randn(30, 2, 2, 3 * CHANNELS, generator=torch.Generator().manual_seed(0))
    made = fitted(wide, FOLD[:30])
    assert made.whitening.shape == (4, CHANNELS // DIRECTIONS, CHANNELS)
    assert made.channels[0] == 0 and made.channels[-1] == 3 * CHANNELS - 1
    assert made(wide).isfinite().all()


def test_patches_that_never_vary_have_finite_distances() -> None:
    made = fitted(torch.ones(6, 2, 2, WIDTH), FOLD[:6])
    assert made(torch.ones(1, 2, 2, WIDTH)).max() < 1e-3
    assert made(torch.full((1, 2, 2, WIDTH), 2.0)).isfinite().all()


def test_a_plain_background_is_neither_loud_nor_not_a_number() -> None:
    known = 1e-3 * drawn(IMAGES, 0)  # some networks have small features
    known[:, 0] = 0.0
    fresh = 1e-3 * drawn(50, 1)
    fresh[:, 0] = 1e-4 * torch.randn(50, GRID, WIDTH, generator=torch.Generator().manual_seed(3))
    found = fitted(known)(fresh)
    assert found[:, 0].mean() < found[:, 1:].mean()
