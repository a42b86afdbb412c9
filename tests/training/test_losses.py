"""The loss against segment_anything-style formulas written out pixel by pixel."""

import numpy as np
import torch

from curation.training.losses import FOCAL_WEIGHT, best_of_three, ious, mask_losses


def test_loss_is_twenty_focal_and_dice():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(0, 3, (2, 3, 4, 5)), rng.integers(0, 2, (2, 4, 5)).astype(float)
    found = mask_losses(torch.from_numpy(logits), torch.from_numpy(target)).numpy()
    p = 1 / (1 + np.exp(-logits))
    for b in range(2):
        for k in range(3):
            right = np.where(target[b] == 1, p[b, k], 1 - p[b, k])
            alpha = np.where(target[b] == 1, 0.25, 0.75)
            focal = (alpha * (1 - right) ** 2 * -np.log(right)).mean()
            dice = 1 - (2 * (p[b, k] * target[b]).sum() + 1) / (p[b, k].sum() + target[b].sum() + 1)
            assert np.isclose(found[b, k], FOCAL_WEIGHT * focal + dice)


def test_only_the_best_slot_learns():
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    target = torch.zeros(1, 4, 4)
    target[0, :2] = 1
    with torch.no_grad():
        logits[0, 1, :2] = 1
    losses = mask_losses(logits, target)
    lowest, slots = best_of_three(losses)
    lowest.sum().backward()
    assert slots.tolist() == [1]
    assert (logits.grad[0, [0, 2]] == 0).all()
    assert (logits.grad[0, 1] != 0).all()


def test_ious_are_of_every_mask_with_every_target():
    rng = np.random.default_rng(0)
    logits, covers = rng.normal(0, 1, (2, 3, 6, 6)), rng.random((4, 6, 6))
    found = ious(torch.from_numpy(logits), torch.from_numpy(covers)).numpy()
    shown, masks = logits > 0, covers >= 0.5
    for b, k, m in np.ndindex(2, 3, 4):
        expected = (shown[b, k] & masks[m]).sum() / (shown[b, k] | masks[m]).sum()
        assert np.isclose(found[b, k, m], expected)
    nothing = ious(torch.full((1, 1, 2, 2), -1.0), torch.zeros(1, 2, 2))
    assert nothing.item() == 0
