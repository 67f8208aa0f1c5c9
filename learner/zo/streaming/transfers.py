"""Blocks of weights on their way to the compute device: one is used while the next one arrives.

On CUDA copies run on a stream of their own. Two places are kept, and a place is filled again only after the kernels
that read it: however far Python runs ahead of the GPU, no third block is on it. Elsewhere copies are made at once.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from learner.errors import ModelError

_ALIGNMENT_BYTES = 256


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Tensors in host memory that are fetched together; the name says which."""

    name: str
    tensors: tuple[torch.Tensor, ...]

    @property
    def num_bytes(self) -> int:
        """Of memory on the device, each tensor aligned."""
        return sum(aligned(tensor.nbytes) for tensor in self.tensors)


class Place:
    """Memory for one block on the compute device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memory = torch.empty(0, dtype=torch.uint8, device=device)
        self._is_cuda = device.type == "cuda"
        self._arrived: Any = torch.cuda.Event() if self._is_cuda else None  # type: ignore[no-untyped-call]
        self._left: Any = torch.cuda.Event() if self._is_cuda else None  # type: ignore[no-untyped-call]
        self.block: Block | None = None
        self.is_used = False
        self.tensors: list[torch.Tensor] = []

    @property
    def num_bytes(self) -> int:
        """That this place has on the device."""
        return self._memory.numel()

    def fill(self, block: Block, stream: torch.cuda.Stream | None) -> None:
        """Copy a block here, on `stream` if there is one; if that fails, the place is empty."""
        self.block, self.tensors = None, []
        self._grow(block.num_bytes)
        begin = 0
        with torch.cuda.stream(stream):  # None: no stream is chosen
            if stream is not None:
                stream.wait_event(self._left)
            for host in block.tensors:
                there = self._memory[begin : begin + host.nbytes].view(host.dtype).view(host.shape)
                there.copy_(host, non_blocking=True)
                self.tensors.append(there)
                begin += aligned(host.nbytes)
            if stream is not None:
                self._arrived.record(stream)
        self.block = block

    def use(self) -> None:
        """What is computed from now on finds the block here."""
        self.is_used = True
        if self._arrived is not None:
            torch.cuda.current_stream(self._device).wait_event(self._arrived)

    def leave(self) -> None:
        """What is computed from now on does not need the block."""
        self.is_used = False
        if self._left is not None:
            self._left.record(torch.cuda.current_stream(self._device))

    def _grow(self, num_bytes: int) -> None:
        if num_bytes <= self.num_bytes:
            return
        if self._is_cuda:
            torch.cuda.synchronize(self._device)  # neither the old memory nor what the new one was is in use any more
        with torch.inference_mode(False):
            self._memory = torch.empty(0, dtype=torch.uint8, device=self._device)  # the old one goes first
            self._memory = torch.empty(num_bytes, dtype=torch.uint8, device=self._device)


class Transfers:
    """Brings blocks to the compute device."""

    def __init__(self, device: torch.device, prepare: Callable[[Block], None]) -> None:
        """prepare: called with each block before it is read in host memory."""
        self._device = device
        self._prepare = prepare
        self._stream: Any = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._places = [Place(device), Place(device)]  # least recently filled first
        self.fetches: Counter[str] = Counter()
        """How often each block was copied"""
        self.num_fetched_bytes = 0

    @property
    def num_bytes(self) -> int:
        """Of all places on the device."""
        return sum(place.num_bytes for place in self._places)

    def take(self, block: Block) -> list[torch.Tensor]:
        """The block's tensors on the device, until it is released."""
        place = self._place_of(block) or self._fetch(block, self._vacant() or self._another())
        place.use()
        return place.tensors

    def prefetch(self, block: Block) -> None:
        """Begin to copy what is taken soon, if there is room."""
        vacant = self._vacant()
        if vacant is not None and self._place_of(block) is None:
            self._fetch(block, vacant)

    def release(self, blocks: Iterable[Block]) -> None:
        """Their places may be filled again."""
        for block in blocks:
            place = self._place_of(block)
            if place is not None and place.is_used:
                place.leave()

    def forget(self) -> None:
        """Host memory is about to change: end all copies, and fetch everything anew from now on."""
        if self._stream is not None:
            self._stream.synchronize()
        for place in self._places:
            place.leave()
            place.block = None

    def _fetch(self, block: Block, place: Place) -> Place:
        self._prepare(block)
        try:
            place.fill(block, self._stream)
        except RuntimeError as err:  # of CUDA, most likely its memory; not what makes a model unpairable
            raise ModelError(
                f"cannot bring {block.name} ({block.num_bytes >> 20} MiB) to {self._device}: {err}; free some there, "
                "or use smaller batches"
            ) from err
        self.fetches[block.name] += 1
        self.num_fetched_bytes += block.num_bytes
        self._places.remove(place)
        self._places.append(place)
        return place

    def _place_of(self, block: Block) -> Place | None:
        return next((p for p in self._places if p.block is not None and p.block.name == block.name), None)

    def _vacant(self) -> Place | None:
        return next((place for place in self._places if not place.is_used), None)

    def _another(self) -> Place:
        """For blocks that are used inside of others."""
        self._places.append(Place(self._device))
        return self._places[-1]


def aligned(num_bytes: int) -> int:
    """Bytes up to where the next tensor may begin."""
    return -(-num_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
