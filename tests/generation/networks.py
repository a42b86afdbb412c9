"""Random SAMs for tests: the real architecture with weights scaled so that masks are blobs of many sizes."""

import numpy as np
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer


def small_sam(seed: int = 0, side: int = 16, patch: int = 16, dim: int = 32) -> Sam:
    """A SAM with two encoder blocks over `side` x `side` cells of `patch` px."""
    torch.manual_seed(seed)
    encoder = ImageEncoderViT(
        img_size=side * patch,
        patch_size=patch,
        embed_dim=dim,
        depth=2,
        num_heads=2,
        out_chans=dim,
        norm_layer=lambda n: torch.nn.LayerNorm(n, eps=1e-6),
        use_rel_pos=True,
        window_size=6,
        global_attn_indexes=(1,),
    )
    prompts = PromptEncoder(dim, (side, side), (side * patch, side * patch), mask_in_chans=4)
    decoder = MaskDecoder(
        transformer_dim=dim,
        transformer=TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=8, mlp_dim=64),
        iou_head_hidden_dim=dim,
    )
    return liven(Sam(encoder, prompts, decoder))


@torch.no_grad()
def liven(sam: Sam, spread: float = 0.5) -> Sam:
    """Scale random weights so that masks and predicted IoU depend on the point, and masks hang together."""
    sam.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix *= spread
    for name, weight in sam.mask_decoder.transformer.named_parameters():
        if "proj.weight" in name:
            weight *= 8 if "q_proj" in name or "k_proj" in name else 2  # attention that looks somewhere
    for k in (0, 3):  # a 2 x 2 block of pixels shares its value, else masks are chequered
        weight = sam.mask_decoder.output_upscaling[k].weight
        weight[:] = weight[:, :, :1, :1] * 4
    for mlp in sam.mask_decoder.output_hypernetworks_mlps:
        for layer in mlp.layers:
            layer.weight *= 4
    for layer in sam.mask_decoder.iou_prediction_head.layers:
        layer.weight *= 2
    sam.mask_decoder.iou_prediction_head.layers[-1].bias += 0.6
    return sam.eval()


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Coloured rectangles over a gradient, uint8 RGB (height, width, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], axis=2)
    for _ in range(12):
        x0, y0 = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(width // 12 + 1, width // 2), rng.integers(height // 12 + 1, height // 2)
        pixels[y0 : y0 + h, x0 : x0 + w] = rng.uniform(0, 255, 3)
    return np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
