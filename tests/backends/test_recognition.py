"""Region sampling and the attention decoder, against plain computations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from dld_backends.recognition.attention import AttentionDecoder
from dld_core.decoders.charset import Charset
from dld_core.decoders.roi_sampling import region_grids, sample_regions
from dld_core.decoders.words import jitter_regions

QUAD = np.array([[10, 10], [42, 10], [42, 18], [10, 18]], np.float32)


# --- sampling ------------------------------------------------------------------------------------


def _ramp(height: int, width: int, stride: int) -> torch.Tensor:
    """A map [1, 2, H, W] that holds the image x and y of every position's centre."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((torch.stack([x, y]) + 0.5) * stride)[None].float()


@pytest.mark.parametrize("stride", [2, 4])
def test_sampling_is_sub_pixel_exact(stride: int) -> None:
    crop = sample_regions(_ramp(64 // stride, 64 // stride, stride), [[QUAD]], stride, (8, 32))[0]
    x = 10 + (torch.arange(32) + 0.5)
    y = 10 + (torch.arange(8) + 0.5)
    torch.testing.assert_close(crop[0], x.expand(8, 32), atol=1e-3, rtol=0)
    torch.testing.assert_close(crop[1], y[:, None].expand(8, 32), atol=1e-3, rtol=0)


def test_a_turned_region_is_read_along_its_own_top_side() -> None:
    turned = np.array([[40, 8], [40, 40], [32, 40], [32, 8]], np.float32)  # reads downwards
    crop = sample_regions(_ramp(16, 16, 4), [[turned]], 4, (8, 32))[0]
    torch.testing.assert_close(crop[1, 0], 8 + torch.arange(32) + 0.5, atol=1e-3, rtol=0)
    assert (crop[0, 0] > crop[0, -1]).all()


def test_curved_regions_follow_both_sides() -> None:
    angle = np.linspace(np.pi, 0, 7)
    arc = np.stack([np.cos(angle), -np.sin(angle)], 1)
    band = np.concatenate([50 + 40 * arc, (50 + 30 * arc)[::-1]]).astype(np.float32)
    grid = region_grids([band], 8, 32)[0]
    radius = np.linalg.norm(grid - 50, axis=-1)
    assert (np.diff(radius[:, 16]) < 0).all()
    assert radius[0].min() > 36
    assert radius[-1].max() < 34


def test_regions_are_laid_out_alike_alone_and_together() -> None:
    generator = np.random.default_rng(0)
    polygons = [generator.uniform(0, 50, (n, 2)).astype(np.float32) for n in (4, 14, 3, 4, 7, 14, 5)]
    polygons.append(np.repeat(QUAD[:1], 4, 0))  # no size_ratio at all
    together = region_grids(polygons, 8, 36)
    for polygon, grid in zip(polygons, together, strict=True):
        np.testing.assert_array_equal(region_grids([polygon], 8, 36)[0], grid)
        split = (len(polygon) + 1) // 2
        for row, side in ((-1, polygon[split:][::-1]), (0, polygon[:split])):
            length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(side, axis=0), axis=1))])
            at = (np.arange(36) + 0.5) / 36 * length[-1]
            wanted = np.stack([np.interp(at, length, side[:, axis]) for axis in (0, 1)], 1)
            fine = region_grids([polygon], 512, 36)[0]  # whose outer rows all but lie on the sides
            np.testing.assert_allclose(fine[row], wanted, atol=0.1)
    assert region_grids([], 8, 36).shape == (0, 8, 36, 2)


def test_rows_follow_images_and_empty_images_add_none() -> None:
    features = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 16, 16)
    crops = sample_regions(features, [[QUAD], [], [QUAD, QUAD]], 4, (8, 32))
    assert crops[:, 0, 4, 16].tolist() == [0.0, 2.0, 2.0]
    assert sample_regions(features, [[], [], []], 4, (8, 32)).shape == (0, 1, 8, 32)


def test_jitter_moves_regions_a_little_and_can_be_switched_off() -> None:
    torch.manual_seed(0)
    region = torch.from_numpy(QUAD)
    assert jitter_regions([[region]], 0.0)[0][0] is region
    moved = torch.stack([jitter_regions([[region]], 0.2)[0][0] for _ in range(50)])
    shift = (moved - region).abs().amax()
    assert 0 < shift <= 0.2 * 1.3 * 8 + 1e-4


# --- decoder -------------------------------------------------------------------------------------


def _decoder(seed: int, max_length: int = 3) -> tuple[AttentionDecoder, torch.Tensor]:
    torch.manual_seed(seed)
    decoder = AttentionDecoder(Charset("ab"), 6, hidden=8, embedding=4, max_length=max_length).eval()
    with torch.no_grad():
        decoder.classify.weight.mul_(4)  # less flat, so that the order of hypotheses is not a tie
    return decoder, torch.randn(5, 7, 6)


def _all_sequences(decoder: AttentionDecoder) -> list[list[int]]:
    """Every finished sequence, and the unfinished ones as long as the decoder may read."""
    end, limit = decoder.end_id, decoder.max_length + 1
    finished = [[*head, end] for n in range(limit) for head in itertools.product(range(end), repeat=n)]
    return finished + [list(s) for s in itertools.product(range(end), repeat=limit)]


@pytest.mark.parametrize("seed", range(5))
@torch.no_grad()
def test_a_wide_beam_finds_what_exhaustive_search_finds(seed: int) -> None:
    decoder, context = _decoder(seed)
    sequences = _all_sequences(decoder)
    length = decoder.max_length + 1
    padded = torch.tensor([s + [decoder.pad_id] * (length - len(s)) for s in sequences])
    scores = decoder.log_prob(context, padded.expand(5, -1, -1))
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(5), atol=1e-4, rtol=0)
    best, order = scores.topk(4, dim=1)
    found = decoder.beam_search(context, k=40)
    torch.testing.assert_close(found.log_probs[:, :4], best, atol=1e-4, rtol=0)
    for row in range(5):
        for rank in range(4):
            wanted = sequences[int(order[row, rank])]
            assert found.tokens[row, rank, : int(found.lengths[row, rank])].tolist() == wanted


@torch.no_grad()
def test_one_beam_is_greedy_reading() -> None:
    decoder, context = _decoder(3, max_length=6)
    found = decoder.beam_search(context, 1).tokens[:, 0]
    tokens = torch.full((5, 1), decoder.pad_id)
    for step in range(found.shape[1]):
        following = decoder.logits(context, torch.cat([tokens[:, 1:], tokens[:, :1]], 1))[:, -1].argmax(-1)
        alive = found[:, step] != decoder.pad_id
        assert torch.equal(found[alive, step], following[alive])
        tokens = torch.cat([tokens, found[:, step : step + 1]], 1)


@torch.no_grad()
def test_log_prob_ignores_padding_and_takes_one_or_many_hypotheses() -> None:
    decoder, context = _decoder(1)
    targets = decoder.encode(["ab", "a", "", "b", "aba"])
    more = torch.cat([targets, torch.full((5, 3), decoder.pad_id)], 1)
    torch.testing.assert_close(decoder.log_prob(context, targets), decoder.log_prob(context, more))
    many = decoder.log_prob(context, torch.stack([targets, targets], 1))
    torch.testing.assert_close(many[:, 0], decoder.log_prob(context, targets))


def test_loss_is_the_mean_log_probability_per_character() -> None:
    decoder, context = _decoder(2)
    targets = decoder.encode(["ab", "a", "", "b", "aba"])
    count = (targets != decoder.pad_id).sum()
    wanted = -decoder.log_prob(context, targets).sum() / count
    torch.testing.assert_close(decoder.loss(context, targets), wanted)
    empty = decoder.loss(context[:0], targets[:0])
    assert float(empty) == 0
    assert empty.requires_grad is False or empty.grad_fn is not None


def test_long_texts_are_cut_and_decoding_stops_at_the_end() -> None:
    decoder, _ = _decoder(0)
    assert decoder.decode(decoder.encode(["abab", "", "b"])) == ["aba", "", "b"]
