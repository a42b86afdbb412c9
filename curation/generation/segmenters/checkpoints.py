"""SAM checkpoints: the architecture is read from the shapes of the weights, so that any member of the family loads."""

import pickle  # nosec B403  # its error is named; nothing is unpickled
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from curation.errors import InputError

# What shapes do not tell is the same in every published SAM (segment_anything/build_sam.py).
_DECODER_HEADS = 8
_LAYER_NORM_EPS = 1e-6

Weights = Mapping[str, torch.Tensor]


def load_sam(checkpoint: Path) -> Sam:
    """The network of a `.pth` file on the CPU, in evaluation mode. Raises InputError where it holds no SAM."""
    weights = _read(checkpoint)
    try:
        sam = _build(weights)
        sam.load_state_dict(weights)
    except (KeyError, IndexError, ZeroDivisionError, RuntimeError, AssertionError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{checkpoint}: the weights are not those of a SAM of segment_anything ({type(error).__name__}: "
            f"{first_line}); allowed are its checkpoints (vit_h, vit_l, vit_b, or fine-tuned ones of that family)"
        ) from error
    return sam.eval()


def _read(checkpoint: Path) -> Weights:
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            f"{checkpoint}: not readable as a torch file of weights alone ({type(error).__name__}); files that hold "
            "other objects are refused, because loading one runs its code. Save sam.state_dict() instead"
        ) from error
    weights = content.get("model", content) if isinstance(content, Mapping) else content
    if not isinstance(weights, Mapping) or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        raise InputError(
            f"{checkpoint}: holds {type(content).__name__}; it must hold a state dict, name to tensor"
        )
    return weights


def _build(weights: Weights) -> Sam:
    encoder = _image_encoder(weights)
    dim = weights["prompt_encoder.no_mask_embed.weight"].shape[1]
    side = weights["image_encoder.pos_embed"].shape[1]
    prompt_encoder = PromptEncoder(
        embed_dim=dim,
        image_embedding_size=(side, side),
        input_image_size=(encoder.img_size, encoder.img_size),
        mask_in_chans=weights["prompt_encoder.mask_downscaling.3.weight"].shape[0],
    )
    # The pixel means and deviations are not in the checkpoint; Sam's own defaults are the published ones.
    return Sam(encoder, prompt_encoder, _mask_decoder(weights))


def _image_encoder(weights: Weights) -> ImageEncoderViT:
    def shape(name: str) -> torch.Size:
        return weights[f"image_encoder.{name}"].shape

    side, dim = shape("pos_embed")[1], shape("pos_embed")[-1]
    patch = shape("patch_embed.proj.weight")[-1]
    depth = _count(weights, "image_encoder.blocks.")
    # A block's table of relative positions has 2 n - 1 rows for windows of n cells; a global block sees all cells.
    windows = [(shape(f"blocks.{k}.attn.rel_pos_h")[0] + 1) // 2 for k in range(depth)]
    local = {window for window in windows if window != side}
    if len(local) > 1:
        raise IndexError(f"windows of several sizes, {sorted(local)}")
    return ImageEncoderViT(
        img_size=side * patch,
        patch_size=patch,
        embed_dim=dim,
        depth=depth,
        num_heads=dim // shape("blocks.0.attn.rel_pos_h")[1],
        mlp_ratio=shape("blocks.0.mlp.lin1.weight")[0] / dim,
        out_chans=shape("neck.0.weight")[0],
        qkv_bias="image_encoder.blocks.0.attn.qkv.bias" in weights,
        norm_layer=partial(torch.nn.LayerNorm, eps=_LAYER_NORM_EPS),
        use_rel_pos=True,
        window_size=local.pop() if local else 0,
        global_attn_indexes=tuple(k for k, window in enumerate(windows) if window == side),
    )


def _mask_decoder(weights: Weights) -> MaskDecoder:
    def shape(name: str) -> torch.Size:
        return weights[f"mask_decoder.{name}"].shape

    n_masks, dim = shape("mask_tokens.weight")
    if n_masks != 4:
        raise IndexError(f"{n_masks - 1} multimask outputs, 3 are needed")
    transformer = TwoWayTransformer(
        depth=_count(weights, "mask_decoder.transformer.layers."),
        embedding_dim=dim,
        num_heads=_DECODER_HEADS,
        mlp_dim=shape("transformer.layers.0.mlp.lin1.weight")[0],
        attention_downsample_rate=dim
        // shape("transformer.layers.0.cross_attn_token_to_image.q_proj.weight")[0],
    )
    return MaskDecoder(
        num_multimask_outputs=3,
        transformer=transformer,
        transformer_dim=dim,
        iou_head_depth=_count(weights, "mask_decoder.iou_prediction_head.layers."),
        iou_head_hidden_dim=shape("iou_prediction_head.layers.0.weight")[0],
    )


def _count(weights: Weights, prefix: str) -> int:
    """How many numbered children a module has."""
    return len({name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)})
