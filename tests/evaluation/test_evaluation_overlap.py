"""Areas and intersections in bulk, against shapely one by one."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from dld_core.evaluation import overlap, strips
from dld_core.evaluation.overlap import Limits, Regions, overlapping
from dld_core.evaluation.quads import common_areas, convex_common_areas

SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]
BOW_TIE = [(0, 0), (10, 10), (10, 0), (0, 10)]
SIDEWAYS_BOW_TIE = [(0, 0), (10, 0), (0, 10), (10, 10)]
ARROW = [(0, 0), (10, 5), (0, 10), (4, 5)]
POINT = [(3, 3)] * 4
LINE = [(0, 0), (5, 5), (10, 10), (5, 5)]


def quads(*shapes: object) -> NDArray[np.float64]:
    return np.array(shapes, np.float64)


def by_shapely(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    shapes = [shapely.make_valid(shapely.polygons(part), method="linework") for part in (first, second)]
    return np.asarray(shapely.area(shapely.intersection(*shapes)))


@pytest.mark.parametrize(
    ("first", "second", "area"),
    [
        (SQUARE, SQUARE, 100),
        (SQUARE, SQUARE[::-1], 100),
        (SQUARE, [(x + 10, y) for x, y in SQUARE], 0),
        (SQUARE, [(x + 5, y + 5) for x, y in SQUARE], 25),
        (SQUARE, BOW_TIE, 50),
        (BOW_TIE, BOW_TIE, 50),
        (BOW_TIE, SIDEWAYS_BOW_TIE, 0),
        (SQUARE, ARROW, 30),
        (ARROW, ARROW, 30),
        (SQUARE, POINT, 0),
        (POINT, SQUARE, 0),
        (POINT, POINT, 0),
        (SQUARE, LINE, 0),
        (LINE, ARROW, 0),
    ],
)
def test_common_areas_of_quadrilaterals(first: object, second: object, area: float) -> None:
    assert common_areas(quads(first), quads(second))[0] == pytest.approx(area, abs=1e-9)


def test_any_quadrilaterals_agree_with_shapely() -> None:
    corners = np.random.default_rng(0).integers(0, 30, (2, 2000, 4, 2)).astype(float)
    np.testing.assert_allclose(common_areas(*corners), by_shapely(*corners), atol=1e-8)


def test_convex_quadrilaterals_agree_with_shapely_far_from_the_origin() -> None:
    rng = np.random.default_rng(1)
    angles = np.sort(rng.uniform(0, 2 * np.pi, (2, 500, 4)), axis=-1)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * 50 + 100_000
    circle[1] += rng.uniform(-40, 40, (500, 1, 2))
    np.testing.assert_allclose(convex_common_areas(*circle), by_shapely(*circle), atol=1e-4)


def test_areas_and_boxes_of_mixed_polygons() -> None:
    shapes = [SQUARE, [(0, 0), (4, 0), (0, 3)], BOW_TIE]
    points, counts = np.concatenate([np.array(s, float) for s in shapes]), np.array([len(s) for s in shapes])
    regions = Regions.build(points, counts)
    np.testing.assert_allclose(regions.areas, [100, 6, 0])
    np.testing.assert_allclose(regions.boxes[1], [0, 0, 4, 3])
    assert regions.convex.tolist() == [True, False, False]
    assert regions.crossing().tolist() == [2]


def _random_regions(rng: np.random.Generator, number: int) -> Regions:
    counts = rng.integers(3, 9, number)
    centers = rng.integers(0, 200, (number, 1, 2))
    parts = [c + rng.integers(-30, 30, (n, 2)) for c, n in zip(centers, counts, strict=True)]
    return Regions.build(np.concatenate(parts).astype(float), counts)


def _every_pair(truth: Regions, found: Regions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shapes = [region.geometries(np.arange(len(region))) for region in (truth, found)]
    common = shapely.area(shapely.intersection(shapes[0][:, None], shapes[1][None]))
    union = truth.areas[:, None] + found.areas[None] - common
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(common / union, posinf=0, neginf=0), np.nan_to_num(
            common / found.areas, posinf=0
        )


@pytest.mark.parametrize("chunk", [1_000_000, 50])
def test_no_pair_that_matters_is_lost(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_CHUNK", chunk)
    rng = np.random.default_rng(2)
    for limit in (0.1, 0.5):
        truth, found = _random_regions(rng, 40), _random_regions(rng, 50)
        per_image = np.array([40]), np.array([50])
        every = np.ones(40, bool)
        pairs = overlapping(truth, found, Limits(*per_image, every, every, limit, limit))
        iou, inside = _every_pair(truth, found)
        wanted = {(int(a), int(b)) for a, b in np.argwhere((iou > limit + 1e-9) | (inside > limit + 1e-9))}
        given = {
            (a, b): i for i, (a, b) in enumerate(zip(pairs.truth.tolist(), pairs.found.tolist(), strict=True))
        }
        assert wanted <= set(given)
        for (a, b), index in given.items():
            assert pairs.iou[index] == pytest.approx(iou[a, b], abs=1e-9)
        assert list(given) == sorted(given)


@pytest.mark.parametrize("far", [0, 100_000])
def test_simple_outlines_agree_with_shapely(far: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "_CHUNK", 500)
    rng = np.random.default_rng(3)
    counts = rng.integers(3, 15, 200)
    parts = []
    for count in counts:
        angle = np.sort(rng.uniform(0, 2 * np.pi, count)) * rng.choice([-1, 1])
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(10, 40, (count, 1))
        parts.append(np.trunc(ring + rng.uniform(-10, 10, 2)) + far)
    regions = Regions.build(np.concatenate(parts), counts)
    left, right = np.divmod(np.arange(len(counts) ** 2), len(counts))
    simple = regions.simple[left] & regions.simple[right]
    left, right = left[simple], right[simple]
    base = regions.boxes[left, 1]
    shapes = regions.geometries(np.arange(len(counts)))
    wanted = shapely.area(shapely.intersection(shapes[left], shapes[right]))
    assert len(wanted) > 20_000
    assert regions.simple.tolist() == [shapely.Polygon(part).is_valid for part in parts]
    given = strips.simple_common_areas(regions.sides, regions.sides, left, right, base)
    np.testing.assert_allclose(given, wanted, atol=1e-6 if far else 1e-9)


def test_pairs_stay_within_their_image() -> None:
    square = np.tile(np.array(SQUARE, float), (3, 1))
    regions = Regions.build(square, np.array([4, 4, 4]))
    every = np.ones(3, bool)
    pairs = overlapping(regions, regions, Limits(np.array([1, 2]), np.array([2, 1]), every, every, 0.5, 0.5))
    assert list(zip(pairs.truth.tolist(), pairs.found.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 2),
        (2, 2),
    ]
