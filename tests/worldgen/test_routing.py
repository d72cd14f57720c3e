"""History routing: who is attended to, and that the parts add up to the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from worldgen.model.attention import attend
from worldgen.model.routing import merged, routed_attend, routes

TOKENS, HEADS, WIDTH = 6, 3, 8


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def setting(*, frames: int, samples: int = 2) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Queries, and keys and values of their own frame and of remembered ones."""
    q, own_keys, own_values = (drawn(samples, TOKENS, HEADS, WIDTH, seed=i) for i in range(3))
    keys, values = (drawn(samples, frames, TOKENS, HEADS, WIDTH, seed=10 + i) for i in range(2))
    return q, (own_keys, own_values), (keys, values)


def dense(q: Tensor, own: tuple[Tensor, Tensor], past: tuple[Tensor, Tensor]) -> Tensor:
    keys, values = (torch.cat([a, b.flatten(1, 2)], dim=1) for a, b in zip(own, past, strict=True))
    return attend(q, keys, values)


@pytest.mark.parametrize("keep", [4, 5, 100])
def test_keeping_every_frame_is_dense_attention(keep: int):
    q, own, past = setting(frames=4)
    torch.testing.assert_close(
        routed_attend(q, own, past, keep=keep), dense(q, own, past), atol=1e-6, rtol=1e-5
    )


def test_keeping_none_is_attention_inside_the_frame():
    q, own, past = setting(frames=4)
    torch.testing.assert_close(routed_attend(q, own, past, keep=0), attend(q, *own), atol=1e-6, rtol=1e-5)


def test_each_token_and_head_attends_to_the_frames_of_its_choice_alone():
    q, own, past = setting(frames=5)
    chosen = routes(q, past[0], keep=2)
    found = routed_attend(q, own, past, keep=2)
    for sample in range(2):
        for head in range(HEADS):
            for token in range(TOKENS):
                frames = chosen[sample, head, token].nonzero()[:, 0]
                assert len(frames) == 2
                alone = slice(sample, sample + 1)
                expected = dense(
                    q[alone],
                    (own[0][alone], own[1][alone]),
                    (past[0][alone][:, frames], past[1][alone][:, frames]),
                )
                torch.testing.assert_close(
                    found[sample, token, head], expected[0, token, head], atol=1e-6, rtol=1e-5
                )


def test_frames_rank_by_mean_key_as_by_mean_logit():
    q, _, (keys, _) = setting(frames=7)
    logits = torch.einsum("bsnc,bmtnc->bnsmt", q, keys).mean(dim=-1)
    best = logits.topk(3, dim=-1).indices
    expected = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, best, value=True)
    assert torch.equal(routes(q, keys, keep=3), expected)


def test_merging_two_parts_is_attention_over_both():
    q, k, v = (drawn(5, WIDTH, seed=i).double() for i in range(3))
    more_k, more_v = (drawn(9, WIDTH, seed=3 + i).double() for i in range(2))

    def part(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        logits = q @ keys.mT
        return logits.softmax(dim=-1) @ values, logits.logsumexp(dim=-1)

    output, total = merged(part(k, v), part(more_k, more_v))
    whole, whole_total = part(torch.cat([k, more_k]), torch.cat([v, more_v]))
    torch.testing.assert_close(output, whole, atol=1e-14, rtol=1e-13)
    torch.testing.assert_close(total, whole_total, atol=1e-14, rtol=1e-13)


def test_large_logits_do_not_overflow():
    q, own, past = setting(frames=3)
    found = routed_attend(1e4 * q, own, past, keep=2)
    assert torch.isfinite(found).all()


def test_the_choice_carries_no_gradient_and_what_is_taken_does():
    q, own, past = setting(frames=4)
    past[0].requires_grad_()
    routed_attend(q, own, past, keep=1).square().sum().backward()
    taken = routes(q, past[0], keep=1).any(dim=2)
    assert past[0].grad is not None
    moved = past[0].grad.abs().sum(dim=(2, 4)).transpose(1, 2) > 0
    assert torch.equal(moved, taken)


def test_a_negative_number_of_frames_is_refused():
    q, own, past = setting(frames=2)
    with pytest.raises(ValueError, match="-1"):
        routed_attend(q, own, past, keep=-1)
