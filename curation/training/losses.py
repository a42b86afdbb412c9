"""SAM's training loss (arXiv 2304.02643, appendix A): focal and dice loss of the best of three masks, and predicted IoU."""

import torch
from torch.nn import functional

#: Focal to dice, 20 : 1 (appendix A, "Losses").
FOCAL_WEIGHT = 20.0
#: Of focal loss (Lin et al. 2017, arXiv 1708.02002, table 1b).
FOCAL_GAMMA, FOCAL_ALPHA = 2.0, 0.25


def mask_losses(logits: torch.Tensor, cover: torch.Tensor) -> torch.Tensor:
    """20 focal + dice of every slot (B, 3): logits (B, 3, h, w) against the share of each cell that is covered
    (B, h, w), 0..1.
    """
    target = cover[:, None].expand_as(logits)
    return FOCAL_WEIGHT * _focal(logits, target) + _dice(logits.sigmoid(), target)


def best_of_three(losses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The lowest loss of every prompt (B,) and the slot (B,) that has it: the others are free to show other things."""
    lowest = losses.min(dim=1)
    return lowest.values, lowest.indices


def ious(logits: torch.Tensor, covers: torch.Tensor) -> torch.Tensor:
    """IoU (B, K, M) of masks (B, K, h, w), logits above 0, with each of M targets (M, h, w), cells at least half covered.

    0 where both are empty.
    """
    shown = (logits > 0).flatten(2).float()
    targets = (covers >= 0.5).flatten(1).float()
    both = shown @ targets.T
    either = shown.sum(2)[..., None] + targets.sum(1) - both
    return both / either.clamp(min=1)


def _focal(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    shown = logits.sigmoid()
    surprise = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # A cell that is covered in part is hard as far as the network is off it.
    hardness = (shown - target).abs() ** FOCAL_GAMMA
    weight = FOCAL_ALPHA * target + (1 - FOCAL_ALPHA) * (1 - target)
    return (weight * hardness * surprise).flatten(2).mean(2)


def _dice(shown: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    both = (shown * target).flatten(2).sum(2)
    sizes = shown.flatten(2).sum(2) + target.flatten(2).sum(2)
    return 1 - (2 * both + 1) / (sizes + 1)
