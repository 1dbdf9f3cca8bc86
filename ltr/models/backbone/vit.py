"""The one-stream vision transformer of OSTrack: template and search tokens attend to each other in every block.

Source: Ye et al., "Joint Feature Learning and Relation Modeling for Tracking: A One-Stream Framework", ECCV 2022,
sections 3.1 (tokens) and 3.2 (candidate elimination); docs/reference.md, section 10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 16


class Elimination(NamedTuple):
    """What a block eliminated, n search tokens before it and k after.

    Attributes:
        scores: [B, n] attention of the chosen template tokens to the search tokens, in falling order.
        kept, removed: [B, k], [B, n - k] indices on the search map (row by row), in order of falling score.
    """

    scores: Tensor
    kept: Tensor
    removed: Tensor


class TokenFeatures(NamedTuple):
    """Output of `OneStreamViT`.

    Attributes:
        template: [B, C, Z/16, Z/16].
        search: [B, C, S/16, S/16], exactly zero where a token was eliminated.
        eliminations: by block.
    """

    template: Tensor
    search: Tensor
    eliminations: dict[int, Elimination]


class StochasticDepth(nn.Module):
    """Drops a residual branch of whole samples with a probability, in training only (Huang et al., ECCV 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """branch: [B, ...]."""
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        mask = branch.new_empty(len(branch), *[1] * (branch.dim() - 1)).bernoulli_(keep)
        return branch * mask / keep


class Attention(nn.Module):
    """Multi-head attention over all tokens, without a mask."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, heads, L, C / heads] of tokens [B, L, C]."""
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attended tokens [B, L, C]."""
        heads = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(heads.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """[..., C] -> [..., C]."""
        return self.fc2(functional.gelu(self.fc1(tokens)))


class Block(nn.Module):
    """A pre-norm transformer block that may drop search tokens after its attention.

    Args:
        keep: part of the search tokens that stays; 1 for all.
    """

    def __init__(self, width: int, heads: int, drop: float, keep: float) -> None:
        super().__init__()
        self.keep = keep
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MLP(width, 4 * width)
        self.drop_path = StochasticDepth(drop)

    def forward(
        self, tokens: Tensor, alive: Tensor, template_count: int, rows: Tensor | None, keep: float | None
    ) -> tuple[Tensor, Tensor, Elimination | None]:
        """Tokens after the block.

        Args:
            tokens: [B, Lz + n, C], the template's first.
            alive: [B, n] places of the search tokens on the search map.
            rows: indices of the template tokens that judge the search tokens; None for all.
            keep: part that stays, instead of the block's own; 1 keeps all.

        Returns:
            Tokens [B, Lz + k, C], their places [B, k] and what was eliminated, None where nothing was.
        """
        query, key, value = self.attn.split(self.norm1(tokens))
        tokens = tokens + self.drop_path(self.attn.attend(query, key, value))
        elimination = None
        count = alive.shape[1]
        kept_count = math.ceil((self.keep if keep is None else keep) * count)
        if self.keep < 1 and kept_count < count:
            judges = query[:, :, :template_count] if rows is None else query[:, :, rows]
            scores = _attention_to(judges, key)[:, template_count:]
            order = scores.argsort(dim=1, descending=True)
            places = alive.gather(1, order)
            elimination = Elimination(scores.gather(1, order), places[:, :kept_count], places[:, kept_count:])
            kept = order[:, :kept_count, None].expand(-1, -1, tokens.shape[-1])
            search = tokens[:, template_count:].gather(1, kept)
            tokens = torch.cat((tokens[:, :template_count], search), dim=1)
            alive = elimination.kept
        return tokens + self.drop_path(self.mlp(self.norm2(tokens))), alive, elimination


@torch.no_grad()
def _attention_to(query: Tensor, key: Tensor) -> Tensor:
    """Attention [B, L] of queries [B, heads, q, D] to keys [B, heads, L, D], the mean over queries and heads."""
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return logits.softmax(-1).mean(2).mean(1)


class PatchEmbedding(nn.Module):
    """Images [B, 3, H, W] -> tokens [B, H/16 * W/16, C], row by row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        return self.proj(images).flatten(2).transpose(1, 2)


class OneStreamViT(nn.Module):
    """A ViT over the tokens of a template and a search image together.

    Attributes:
        template_cells, search_cells: sides of the grids of tokens.
        eliminates: whether a block drops search tokens.

    Args:
        template_size, search_size: sides Z and S of the images in pixels, multiples of 16.
        width, depth, heads: the transformer's; ViT-B by default.
        elimination: part of the search tokens that each of these blocks keeps, by block.
        drop_path: probability of stochastic depth in the last block; it grows linearly from 0.
    """

    def __init__(
        self,
        template_size: int = 128,
        search_size: int = 256,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        elimination: dict[int, float] | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.template_cells = template_size // PATCH
        self.search_cells = search_size // PATCH
        self.eliminates = bool(elimination)
        # The pre-trained ViT's, kept for strict loading of public checkpoints; nothing reads them.
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width), requires_grad=False)
        self.pos_embed = nn.Parameter(torch.zeros(1, 197, width), requires_grad=False)
        self.pos_embed_z = nn.Parameter(torch.zeros(1, self.template_cells**2, width))
        self.pos_embed_x = nn.Parameter(torch.zeros(1, self.search_cells**2, width))
        self.patch_embed = PatchEmbedding(width)
        self.blocks = nn.ModuleList(
            Block(width, heads, rate, (elimination or {}).get(index, 1.0))
            for index, rate in enumerate(drop_rates(drop_path, depth))
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        for name in ("pos_embed_z", "pos_embed_x"):
            nn.init.trunc_normal_(getattr(self, name), std=0.02)

    def forward(
        self, template: Tensor, search: Tensor, rows: Tensor | None = None, keep: float | None = None
    ) -> TokenFeatures:
        """Features of normalised images [B, 3, Z, Z] and [B, 3, S, S]; `rows` and `keep` as for `Block`."""
        templates = self.patch_embed(template) + self.pos_embed_z
        searches = self.patch_embed(search) + self.pos_embed_x
        count = templates.shape[1]
        tokens = torch.cat((templates, searches), dim=1)
        alive = torch.arange(searches.shape[1], device=tokens.device).expand(len(tokens), -1)
        eliminations: dict[int, Elimination] = {}
        for index, block in enumerate(self.blocks):
            tokens, alive, elimination = block(tokens, alive, count, rows, keep)
            if elimination is not None:
                eliminations[index] = elimination
        tokens = self.norm(tokens)
        found = tokens[:, count:]
        if eliminations:
            found = torch.zeros_like(searches).scatter(1, alive[..., None].expand_as(found), found)
        return TokenFeatures(
            _as_map(tokens[:, :count], self.template_cells), _as_map(found, self.search_cells), eliminations
        )

    def load_pretrained(self, weights: dict[str, Tensor]) -> None:
        """Take over a ViT's weights, and resize its position embedding to both grids.

        Args:
            weights: a state dict with `cls_token`, `pos_embed` [1, 1 + n^2, C], `patch_embed.proj.*`, `blocks.*` and
                `norm.*`, such as the `model` of the public MAE file; what else it has is passed over.

        Raises:
            KeyError: a weight of the transformer is missing.
        """
        own = self.state_dict()
        taken = {name: weights[name] for name in own if name not in ("pos_embed_z", "pos_embed_x")}
        for name, cells in (("pos_embed_z", self.template_cells), ("pos_embed_x", self.search_cells)):
            taken[name] = resize_position_embedding(weights["pos_embed"], cells)
        self.load_state_dict(taken)


def drop_rates(last: float, depth: int) -> Sequence[float]:
    """Probabilities of stochastic depth by block, rising linearly from 0 to `last`."""
    return [last * index / max(depth - 1, 1) for index in range(depth)]


def resize_position_embedding(embedding: Tensor, cells: int) -> Tensor:
    """[1, 1 + n^2, C] with a class token first -> [1, cells^2, C] without it, bicubic, row by row."""
    grid = embedding[:, 1:]
    side = math.isqrt(grid.shape[1])
    square = grid.transpose(1, 2).unflatten(2, (side, side))
    resized = functional.interpolate(square, size=(cells, cells), mode="bicubic", align_corners=False)
    return resized.flatten(2).transpose(1, 2)


def _as_map(tokens: Tensor, cells: int) -> Tensor:
    """[B, cells^2, C] -> [B, C, cells, cells]."""
    return tokens.transpose(1, 2).unflatten(2, (cells, cells))
