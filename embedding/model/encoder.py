"""Clay's encoder: it turns any set of bands, given by their wavelengths, into a class token and patch tokens.

Parameters have the names of the published checkpoints, so that their state dicts load strictly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional

PATCH_SIZE: Final = 8  # pixels
METADATA_DIM: Final = 8  # time (4) and latlon (4), the last numbers of every patch's position code

_WAVE_DIM: Final = 128
_WAVE_TOKENS: Final = 128
_WAVE_HEADS: Final = 4
_WAVE_FEED_FORWARD: Final = 2048
_KERNEL_SCALE: Final = 0.02
_TEMPERATURE: Final = 10_000.0


@dataclass(frozen=True)
class EncoderSize:
    """The numbers that determine an encoder's shape."""

    dim: int  # length of a token, and of the embedding
    depth: int  # transformer layers
    heads: int  # attention heads; the shapes of the weights do not show it
    dim_head: int  # length of one head
    mlp_dim: int  # hidden length of the feed-forward blocks

    def __post_init__(self) -> None:
        """Check that an encoder of this size can exist.

        Raises:
            ValueError: a number is below 1, or dim cannot be split into the four blocks of the position code.
        """
        if min(self.dim, self.depth, self.heads, self.dim_head, self.mlp_dim) < 1:
            raise ValueError(f"every number of an encoder's size must be at least 1: {self}")
        if self.dim < 16 or (self.dim - METADATA_DIM) % 4:
            raise ValueError(f"the embedding length must be 16 or more and a multiple of 4, not {self.dim}")

    @property
    def inner(self) -> int:
        """Length of all heads together: the attention's inner dimension."""
        return self.heads * self.dim_head


KNOWN_SIZES: Final[dict[str, EncoderSize]] = {
    "tiny": EncoderSize(dim=192, depth=6, heads=4, dim_head=48, mlp_dim=192 * 2),
    "small": EncoderSize(dim=384, depth=6, heads=6, dim_head=64, mlp_dim=384 * 2),
    "base": EncoderSize(dim=768, depth=12, heads=12, dim_head=64, mlp_dim=768 * 4),
    "large": EncoderSize(dim=1024, depth=24, heads=16, dim_head=64, mlp_dim=1024 * 4),
}


class _FullyConnected(nn.Module):
    """Residual block over the codes of the wavelengths."""

    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Linear(_WAVE_DIM, _WAVE_DIM)
        self.l2 = nn.Linear(_WAVE_DIM, _WAVE_DIM)

    def forward(self, codes: Tensor) -> Tensor:
        hidden = functional.gelu(self.l1(codes))
        return codes + functional.gelu(self.l2(hidden))


class _WeightGenerator(nn.Module):
    """Transformer that makes the patch convolution's kernel and bias from the codes of the wavelengths."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            d_model=_WAVE_DIM,
            nhead=_WAVE_HEADS,
            dim_feedforward=_WAVE_FEED_FORWARD,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers=1, enable_nested_tensor=False)
        self.weight_tokens = nn.Parameter(torch.empty(_WAVE_TOKENS, _WAVE_DIM))
        self.bias_token = nn.Parameter(torch.empty(1, _WAVE_DIM))
        self.fc_weight = nn.Linear(_WAVE_DIM, dim * PATCH_SIZE * PATCH_SIZE)
        self.fc_bias = nn.Linear(_WAVE_DIM, dim)

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        sequence = torch.cat([self.weight_tokens, codes, self.bias_token])
        out = self.encoder(sequence[None])[0]
        kernel = self.fc_weight(out[_WAVE_TOKENS:-1] + codes)
        return kernel, self.fc_bias(out[-1])


class _PatchEmbedding(nn.Module):
    """Convolution of 8 x 8 pixels with stride 8, whose kernel depends on the wavelengths of the bands."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight_generator = _WeightGenerator(dim)
        self.fclayer = _FullyConnected()

    def forward(self, pixels: Tensor, wavelengths: Tensor) -> Tensor:
        kernel, bias = self.weight_generator(self.fclayer(wavelength_codes(wavelengths)))
        # A convolution whose stride equals its size is one matrix product over patches.
        weight = rearrange(kernel, "band (dim y x) -> dim (band y x)", y=PATCH_SIZE, x=PATCH_SIZE)
        patches = rearrange(
            pixels, "chip band (row y) (col x) -> chip (row col) (band y x)", y=PATCH_SIZE, x=PATCH_SIZE
        )
        return functional.linear(patches, weight * _KERNEL_SCALE, bias)


class _Attention(nn.Module):
    """Pre-norm multi-head attention without bias."""

    def __init__(self, size: EncoderSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.norm = nn.LayerNorm(size.dim)
        self.to_qkv = nn.Linear(size.dim, size.inner * 3, bias=False)
        self.to_out = nn.Linear(size.inner, size.dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = rearrange(
            self.to_qkv(self.norm(tokens)),
            "chip token (part head d) -> part chip head token d",
            part=3,
            head=self.heads,
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        return cast(Tensor, self.to_out(rearrange(attended, "chip head token d -> chip token (head d)")))


class _FeedForward(nn.Module):
    """Pre-norm gelu block."""

    def __init__(self, size: EncoderSize) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(size.dim),
            nn.Linear(size.dim, size.mlp_dim),
            nn.GELU(),
            nn.Linear(size.mlp_dim, size.dim),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return cast(Tensor, self.net(tokens))


class _Transformer(nn.Module):
    """Attention and feed-forward layers with residuals, then a norm."""

    def __init__(self, size: EncoderSize) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size.dim)
        self.layers = nn.ModuleList(nn.ModuleList([_Attention(size), _FeedForward(size)]) for _ in range(size.depth))

    def forward(self, tokens: Tensor) -> Tensor:
        for layer in self.layers:
            attention, feed_forward = cast(nn.ModuleList, layer)
            tokens = tokens + attention(tokens)
            tokens = tokens + feed_forward(tokens)
        return cast(Tensor, self.norm(tokens))


class ClayEncoder(nn.Module):
    """Clay's encoder without masking. Its weights are not initialised: load a state dict before use."""

    def __init__(self, size: EncoderSize) -> None:
        """Make an encoder of this size, with uninitialised weights."""
        super().__init__()
        self.size = size
        self.cls_token = nn.Parameter(torch.empty(1, 1, size.dim))
        self.patch_embedding = _PatchEmbedding(size.dim)
        self.transformer = _Transformer(size)

    def forward(self, pixels: Tensor, wavelengths: Tensor, time: Tensor, latlon: Tensor, gsd: float = 10.0) -> Tensor:
        """Encode chips.

        Args:
            pixels: (chips, bands, rows, columns) float32, normalised; rows and columns are multiples of 8.
            wavelengths: (bands,) float32, micrometres, in the order of the bands.
            time: (chips, 4) float32, sine and cosine of the week, then of the hour.
            latlon: (chips, 4) float32, sine and cosine of one coordinate, then of the other.
            gsd: pixel size, metres.

        Returns:
            (chips, 1 + patches, dim) float32, the class token, then the patches row by row.
        """
        rows, columns = pixels.shape[-2] // PATCH_SIZE, pixels.shape[-1] // PATCH_SIZE
        patches = self.patch_embedding(pixels, wavelengths)
        position = position_codes(rows, columns, self.size.dim - METADATA_DIM, gsd).to(pixels.device)
        position = repeat(position, "patch d -> chip patch d", chip=len(pixels))
        metadata = repeat(torch.cat([time, latlon], dim=-1), "chip d -> chip patch d", patch=rows * columns)
        tokens = patches + torch.cat([position, metadata], dim=-1)
        cls_token = repeat(self.cls_token, "1 1 d -> chip 1 d", chip=len(pixels))
        return cast(Tensor, self.transformer(torch.cat([cls_token, tokens], dim=1)))


def wavelength_codes(wavelengths: Tensor) -> Tensor:
    """Encode wavelengths as sines and cosines.

    Args:
        wavelengths: (bands,) float32, micrometres.

    Returns:
        (bands, 128) float32, all sines, then all cosines.
    """
    half = _WAVE_DIM // 2
    steps = torch.arange(half, dtype=torch.float32, device=wavelengths.device) / (half - 1)
    angles = wavelengths[:, None] * _TEMPERATURE**-steps
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def position_codes(rows: int, columns: int, dim: int, gsd: float) -> Tensor:
    """Encode the positions of patches as sines and cosines.

    Args:
        rows: of patches.
        columns: of patches.
        dim: length of a code, a multiple of 4.
        gsd: pixel size, metres.

    Returns:
        (rows * columns, dim) float32, row by row: blocks sin x, cos x, sin y, cos y.
    """
    count = dim // 4
    steps = torch.arange(count, dtype=torch.float32) / max(count - 1, 1)
    omega = gsd / _TEMPERATURE ** (2 * steps / dim)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    x_angles, y_angles = x.reshape(-1, 1) * omega, y.reshape(-1, 1) * omega
    return torch.cat([x_angles.sin(), x_angles.cos(), y_angles.sin(), y_angles.cos()], dim=1)


def size_of_state(state: dict[str, Tensor], heads: int | None = None) -> EncoderSize:
    """Read the size of an encoder from the shapes of its weights.

    Args:
        state: the encoder's state dict.
        heads: number of attention heads; None for a published size.

    Raises:
        KeyError: a weight is missing that the size is read from; its argument is the name.
        ValueError: the shapes contradict each other, or the size is not a published one and heads is None.
    """
    dim = state["cls_token"].shape[-1]
    prefix = "transformer.layers."
    depth = 1 + max(
        (int(key.removeprefix(prefix).split(".")[0]) for key in state if key.startswith(prefix)), default=-1
    )
    if depth < 1:
        raise KeyError(f"{prefix}0.0.to_qkv.weight")
    inner = state[f"{prefix}0.0.to_qkv.weight"].shape[0] // 3
    mlp_dim = state[f"{prefix}0.1.net.1.weight"].shape[0]
    if heads is None:
        for known in KNOWN_SIZES.values():
            if (known.dim, known.depth, known.inner, known.mlp_dim) == (dim, depth, inner, mlp_dim):
                return known
        raise ValueError(
            f"{dim} dimensions and {depth} layers are not a published size, so the number of heads is unknown"
        )
    if heads < 1 or inner % heads:
        raise ValueError(f"{inner} attention dimensions cannot be split over {heads} heads")
    return EncoderSize(dim=dim, depth=depth, heads=heads, dim_head=inner // heads, mlp_dim=mlp_dim)
