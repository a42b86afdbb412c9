"""SAM's mask decoder without the work that all prompts of a crop share.

In segment_anything every prompt adds the positional encoding to the image's tokens anew, and projects them anew for
the first layer. Here that is done once a crop, and within a layer once for both directions of attention. Every
matrix product keeps the shape and the operands that it has there, so the answers are the same to the bit
for a batch of the same size (modeling/mask_decoder.py, modeling/transformer.py).
"""

import math
from dataclasses import dataclass

import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock


@dataclass(frozen=True)
class SharedImage:
    """What B prompts of one crop have in common before the first layer; N image tokens, D internal dimensions."""

    tokens: torch.Tensor  # (B, N, C)
    key_to_tokens: torch.Tensor  # (B, N, D), for the prompts that look at the image
    value_to_tokens: torch.Tensor  # (B, N, D)
    query_of_image: torch.Tensor  # (B, N, D), for the image that looks at the prompts


class PointDecoder:
    """Masks and predicted IoU of point prompts by the weights of a `Sam`."""

    def __init__(self, sam: Sam) -> None:
        self._prompts = sam.prompt_encoder
        self._decoder = sam.mask_decoder
        self._position_map = sam.prompt_encoder.get_dense_pe()  # (1, C, h, w)
        self._positions = self._position_map.flatten(2).permute(0, 2, 1).contiguous()  # (1, N, C)

    def share(self, features: torch.Tensor, n_prompts: int) -> SharedImage:
        """Prepare the features (1, C, h, w) of a crop for batches of `n_prompts`."""
        first = self._decoder.transformer.layers[0]
        image = features + self._prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        # The layout too must be the decoder's: a linear layer takes another way for tokens that lie channel by channel.
        tokens = image.repeat_interleave(n_prompts, dim=0).flatten(2).permute(0, 2, 1)
        placed = tokens + self._position_map.repeat_interleave(n_prompts, dim=0).flatten(2).permute(0, 2, 1)
        return SharedImage(
            tokens,
            first.cross_attn_token_to_image.k_proj(placed),
            first.cross_attn_token_to_image.v_proj(tokens),
            first.cross_attn_image_to_token.q_proj(placed),
        )

    def prompts(self, points_xy: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Points (B, P, 2) in the network's square, as the prompt encoder embeds them: (B, P + 1, C)."""
        sparse, _ = self._prompts(points=(points_xy, labels), boxes=None, masks=None)
        return sparse

    def decode(self, shared: SharedImage, sparse: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, 3, 4h, 4w) and predicted IoU (B, 3) of embedded prompts (B, P, C)."""
        decoder = self._decoder
        output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        prompts = torch.cat([output_tokens.expand(len(sparse), -1, -1), sparse], dim=1)
        queries, image = self._transform(shared, prompts)
        rows, columns = self._position_map.shape[-2:]
        upscaled = decoder.output_upscaling(image.transpose(1, 2).view(len(sparse), -1, rows, columns))
        weights = [mlp(queries[:, 1 + k]) for k, mlp in enumerate(decoder.output_hypernetworks_mlps)]
        logits = torch.stack(weights, dim=1) @ upscaled.flatten(2)
        predicted_iou = decoder.iou_prediction_head(queries[:, 0])
        # The first output is for prompts without ambiguity; the other three are the multimask slots.
        return logits.unflatten(2, upscaled.shape[-2:])[:, 1:], predicted_iou[:, 1:]

    def _transform(self, shared: SharedImage, prompts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both sides after the two-way transformer: (B, T, C) and (B, N, C)."""
        transformer = self._decoder.transformer
        queries, image = prompts, shared.tokens
        for number, layer in enumerate(transformer.layers):
            to_tokens, to_image = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
            if number == 0:
                key, value, image_query = shared.key_to_tokens, shared.value_to_tokens, shared.query_of_image
            else:
                placed = image + self._positions
                key, value, image_query = (
                    to_tokens.k_proj(placed),
                    to_tokens.v_proj(image),
                    to_image.q_proj(placed),
                )
            queries = _self_attend(layer, queries, prompts)
            queries = layer.norm2(
                queries + _attend(to_tokens, to_tokens.q_proj(queries + prompts), key, value)
            )
            queries = layer.norm3(queries + layer.mlp(queries))
            key, value = to_image.k_proj(queries + prompts), to_image.v_proj(queries)
            image = layer.norm4(image + _attend(to_image, image_query, key, value))
        last = transformer.final_attn_token_to_image
        key, value = last.k_proj(image + self._positions), last.v_proj(image)
        queries = queries + _attend(last, last.q_proj(queries + prompts), key, value)
        return transformer.norm_final_attn(queries), image


def _self_attend(layer: TwoWayAttentionBlock, queries: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
    if layer.skip_first_layer_pe:
        return layer.norm1(layer.self_attn(q=queries, k=queries, v=queries))
    placed = queries + prompts
    return layer.norm1(queries + layer.self_attn(q=placed, k=placed, v=queries))


def _attend(
    attention: Attention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    """Multi-head attention over projected query (B, Q, D), key and value (B, K, D)."""

    def by_head(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)

    query, key, value = by_head(query), by_head(key), by_head(value)
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    mixed = torch.softmax(scores, dim=-1) @ value
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))
