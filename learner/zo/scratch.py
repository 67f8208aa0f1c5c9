"""Memory that is used again from call to call."""

import math

import torch

CHUNK_ELEMENTS = 1 << 22
"""A longer matrix is perturbed in row chunks."""


class Scratch:
    """Memory for the perturbed rows of one chunk, kept from call to call: new pages cost more than filling them."""

    def __init__(self) -> None:
        self._held: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}

    def take(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor | None:
        """A tensor that is overwritten by the next one taken; None where it would be too long to be kept."""
        count = math.prod(shape)
        if count > 2 * CHUNK_ELEMENTS:
            return None
        held = self._held.get((device, dtype))
        if held is None or held.numel() < count:
            held = self._held[device, dtype] = torch.empty(count, dtype=dtype, device=device)
        return held[:count].view(shape)
