"""SAM 2's prompt encoder and mask decoder in torch, under the names of Meta's weights, so that gradients flow.

The architecture is that of SAM 2 (arXiv 2408.00714, section 4 and appendix D.1) as its export to ONNX runs it: a
two-way transformer between prompt tokens and image tokens, upscaling with two skip connections of the encoder,
a hypernetwork a mask, and a sigmoid over predicted IoU. The mask input is left out: nobody here gives one.
"""

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

#: Published SAM 2 decoders agree in these (sam2_hiera_*.yaml); all other sizes follow from the weights.
N_HEADS = 8
N_LAYERS = 2
N_MASK_TOKENS = 4
#: The export limits its logits to this range, so that they fit into float16.
LOGIT_LIMIT = 32.0


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than its outer one."""

    def __init__(self, dim: int, inner_dim: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(dim, inner_dim)
        self.k_proj = nn.Linear(dim, inner_dim)
        self.v_proj = nn.Linear(dim, inner_dim)
        self.out_proj = nn.Linear(inner_dim, dim)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """(B, Q, C) from queries (B, Q, C), keys and values (B or 1, K, C); one image serves B prompts."""
        heads = [
            projection(x).unflatten(2, (N_HEADS, -1)).transpose(1, 2)
            for projection, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        ]
        n = max(len(x) for x in heads)
        seen = functional.scaled_dot_product_attention(*(x.expand(n, -1, -1, -1) for x in heads))
        return self.out_proj(seen.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return self.layers[-1](x)


class TwoWayLayer(nn.Module):
    """Tokens look at themselves, then at the image; then the image looks at the tokens."""

    def __init__(self, dim: int, inner_dim: int, mlp_dim: int, is_first: bool) -> None:
        super().__init__()
        self.self_attn = Attention(dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, inner_dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Perceptron(dim, mlp_dim, dim)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, inner_dim)
        self._is_first = is_first

    def forward(
        self, tokens: torch.Tensor, image: torch.Tensor, prompts: torch.Tensor, places: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both sides anew: (B, T, C) and (B, N, C). `prompts` and `places` tell the tokens where they are."""
        if self._is_first:  # the tokens are the prompts themselves still
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + prompts
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        placed_image = image + places
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + prompts, placed_image, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        seen = self.cross_attn_image_to_token(placed_image, tokens + prompts, tokens)
        return tokens, self.norm4(image + seen)


class TwoWayTransformer(nn.Module):
    def __init__(self, dim: int, inner_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayLayer(dim, inner_dim, mlp_dim, is_first=number == 0) for number in range(N_LAYERS)
        )
        self.final_attn_token_to_image = Attention(dim, inner_dim)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(
        self, prompts: torch.Tensor, image: torch.Tensor, places: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = prompts
        for layer in self.layers:
            tokens, image = layer(tokens, image, prompts, places)
        seen = self.final_attn_token_to_image(tokens + prompts, image + places, image)
        return self.norm_final_attn(tokens + seen), image


class Doubling(nn.Module):
    """A transposed convolution of kernel and stride 2, as the linear layer that it is: a cell becomes 2 x 2.

    Cells stay in the order of the coarse grid, with their children behind one another, so that nothing is moved.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, out_dim, 2, 2))
        self.bias = nn.Parameter(torch.empty(out_dim))

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """(B, 4 N, D) from (B, N, C)."""
        weight = self.weight.permute(2, 3, 1, 0).flatten(0, 2)  # a row a child and channel
        return functional.linear(cells, weight, self.bias.repeat(4)).unflatten(2, (4, -1)).flatten(1, 2)


class MaskDecoder(nn.Module):
    def __init__(self, dim: int, inner_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.obj_score_token = nn.Embedding(1, dim)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(N_MASK_TOKENS, dim)
        self.transformer = TwoWayTransformer(dim, inner_dim, mlp_dim)
        self.output_upscaling = nn.ModuleList(
            [
                Doubling(dim, dim // 4),
                nn.LayerNorm(dim // 4, eps=1e-6),
                nn.GELU(),
                Doubling(dim // 4, dim // 8),
                nn.GELU(),
            ]
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            Perceptron(dim, dim, dim, dim // 8) for _ in range(N_MASK_TOKENS)
        )
        self.iou_prediction_head = Perceptron(dim, dim, dim, N_MASK_TOKENS)

    def forward(
        self,
        image: torch.Tensor,
        skips: tuple[torch.Tensor, torch.Tensor],
        sparse: torch.Tensor,
        places: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, 3, 4h, 4w) and predicted IoU (B, 3), 0..1, of the multimask slots.

        `image` (1, C, h, w), `skips` its features at 4 h and at 2 h, `sparse` (B, P, C), `places` (1, h w, C).
        """
        own = torch.cat([self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight])
        prompts = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        tokens, seen = self.transformer(prompts, image.flatten(2).transpose(1, 2), places)
        first, norm, activation, second, last_activation = self.output_upscaling
        halfway = activation(norm(first(seen) + _nested(skips[1], 1)))
        upscaled = last_activation(second(halfway) + _nested(skips[0], 2))
        # The first mask is for prompts without ambiguity; the export has the other three alone.
        slots = range(1, N_MASK_TOKENS)
        weights = torch.stack([self.output_hypernetworks_mlps[k](tokens[:, 2 + k]) for k in slots], dim=1)
        logits = _spread(weights @ upscaled.transpose(1, 2), image.shape[-2:])
        predicted_iou = self.iou_prediction_head(tokens[:, 1]).sigmoid()
        return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT), predicted_iou[:, 1:]


def _nested(skip: torch.Tensor, n_doublings: int) -> torch.Tensor:
    """Features (1, C, h, w) as cells (1, h w, C) in the order that so many doublings give them."""
    n = n_doublings
    scale = 2**n
    rows, columns = skip.shape[2] // scale, skip.shape[3] // scale
    parts = skip[0].reshape(-1, rows, *[2] * n, columns, *[2] * n)
    pairs = [axis for k in range(1, n + 1) for axis in (1 + k, 2 + n + k)]
    return parts.permute(1, 2 + n, *pairs, 0).reshape(1, -1, len(parts))


def _spread(cells: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Values (B, K, N) of cells that two doublings made of a grid of this size, as (B, K, 4 rows, 4 columns)."""
    rows, columns = size
    parts = cells.unflatten(2, (rows, columns, 2, 2, 2, 2)).permute(0, 1, 2, 4, 6, 3, 5, 7)
    return parts.reshape(*cells.shape[:2], 4 * rows, 4 * columns)


class PlaceEncoding(nn.Module):
    """Random Fourier features of places in the square, 0..1 (Tancik et al. 2020, arXiv 2006.10739)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.zeros(2, dim // 2))

    def forward(self, places_xy: torch.Tensor) -> torch.Tensor:
        angles = 2 * math.pi * ((2 * places_xy - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class PromptEncoder(nn.Module):
    #: Labels of points: 0 not the object, 1 the object, 2 and 3 corners of a box; -1 pads.
    N_LABELS = 4

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pe_layer = PlaceEncoding(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(self.N_LABELS))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.no_mask_embed = nn.Embedding(1, dim)

    def forward(self, points_xy: torch.Tensor, labels: torch.Tensor, side: int) -> torch.Tensor:
        """(B, P + 1, C) of points (B, P, 2) in the square of `side` px; a padding point is added, as in the export."""
        n = len(points_xy)
        labels = torch.cat([labels, labels.new_full((n, 1), -1)], dim=1)
        middles = functional.pad(points_xy + 0.5, (0, 0, 0, 1))  # a pixel's place is its middle
        kinds = torch.cat([e.weight for e in (self.not_a_point_embed, *self.point_embeddings)])
        places = self.pe_layer(middles / side) * (labels != -1)[..., None]
        return places + kinds[labels + 1]

    def grid(self, rows: int, columns: int) -> torch.Tensor:
        """(1, rows * columns, C): the places of an image's tokens."""
        weight = self.pe_layer.positional_encoding_gaussian_matrix
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        middles = torch.stack([(x + 0.5) / columns, (y + 0.5) / rows], dim=-1).to(weight)
        return self.pe_layer(middles.flatten(0, 1))[None]


class Sam2Decoder(nn.Module):
    """Prompts to masks, given what the image encoder made of an image."""

    def __init__(self, dim: int, inner_dim: int, mlp_dim: int, side: int) -> None:
        super().__init__()
        self.prompt_encoder = PromptEncoder(dim)
        self.mask_decoder = MaskDecoder(dim, inner_dim, mlp_dim)
        self.side = side

    def forward(
        self,
        image: torch.Tensor,
        skips: tuple[torch.Tensor, torch.Tensor],
        points_xy: torch.Tensor,
        labels: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, 3, 4h, 4w) and predicted IoU (B, 3) of points (B, P, 2) in the square; labels int64 (B, P)."""
        prompts = self.prompt_encoder
        image = image + prompts.no_mask_embed.weight[..., None, None]
        sparse = prompts(points_xy, labels, self.side)
        return self.mask_decoder(image, skips, sparse, prompts.grid(*image.shape[-2:]))
