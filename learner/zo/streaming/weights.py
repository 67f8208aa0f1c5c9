"""Weights in host memory of which the compute device holds two blocks at a time (after ZO2, arXiv 2503.12668).

A block is what one module needs when it is called: a decoder layer with all it holds, or the parameters that another
module has itself. While it runs, its parameters point at copies on the device; the next block, known from the forward
pass before, is copied meanwhile. Of embedding tables only the wanted rows go to the device, and of the head only a
chunk of its rows at a time.

Updates wait until a block is fetched, and are made in host memory then, by the kernels that make them on the CPU: each
weight passes once through the processor for update and copy, and its bits are those of any other device.
"""

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from learner.errors import ModelError
from learner.zo.directions import Update, apply_updates
from learner.zo.flat_weights import FlatWeights, Slot
from learner.zo.pairs import Pair
from learner.zo.streaming.in_step import InStep
from learner.zo.streaming.transfers import Block, Transfers, aligned

_PINNED_BYTES = 64 << 20  # a shorter buffer may share a page with others, and is copied fast enough as it is


class _Pass(threading.local):
    """What one forward pass has done; passes in step are threads."""

    def __init__(self) -> None:
        self.is_open = False
        self.order: list[Block] = []
        self.entered: list[Callable[[], None]] = []  # how to leave each module that runs


class StreamedWeights(FlatWeights):
    """`FlatWeights` of a model on the CPU whose forward passes run elsewhere."""

    is_streamed = True

    def __init__(self, model: torch.nn.Module, device: torch.device, weights: FlatWeights) -> None:
        """Take over the model and its weights: buffers move to the device, modules fetch parameters when called."""
        vars(self).update(vars(weights))
        _gather([parameter for parameter in model.parameters() if id(parameter) not in self.slot_of])
        self.device = device
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._hosted = {id(parameter): parameter.data for parameter in model.parameters()}
        self._present: set[int] = set()  # those that point at the device
        self._users: Counter[str] = Counter()  # of each block
        self._waiting: dict[str, list[Update]] = {}  # by slot
        self._num_threads = 1
        self._pass = _Pass()
        self._order: list[Block] = []  # of the pass before
        self._chunk: list[Block] = []  # rows that are used, until a pass goes on to something else
        self.transfers = Transfers(device, self._settle_block)
        self._slots_of: dict[str, list[Slot]] = {}
        largest = 0
        for name, module, parameters in _parts(model):
            block = self._block(name, parameters)
            largest = max(largest, block.num_bytes)
            module.register_forward_pre_hook(partial(self._enter, block, parameters), with_kwargs=True)
            module.register_forward_hook(self._leave)
        self.steps = InStep(max(1, largest))
        for module in model.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = buffer.to(device)
        if device.type == "cuda":
            _pin(self, list(self._hosted.values()))

    # ---- passes

    def in_step(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """What jobs return; a block is fetched once for all whose activations, waiting for it, fit into its memory."""
        return self.steps.run(jobs)

    def begin_pass(self) -> None:
        """A forward pass begins: modules fetch their parameters."""
        self._end_chunk()
        if self._order:
            self.transfers.prefetch(self._order[0])
        self._pass.is_open, self._pass.order = True, []

    def end_pass(self) -> None:
        """It is over, by an error perhaps: its modules need no parameters any more."""
        self._pass.is_open = False
        while self._pass.entered:
            self._pass.entered.pop()()
        self._order = self._pass.order

    def _enter(
        self,
        block: Block,
        parameters: Sequence[torch.nn.Parameter],
        _: torch.nn.Module,
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        """Before a module is called."""
        if not self._pass.is_open:
            return
        self.steps.wait_for(block.name, sum(map(_num_bytes, (*args, *kwargs.values()))))
        with torch._C.DisableTorchFunction():  # a sweep is active, for which a parameter is never written
            self._bring(block, parameters)

    def _bring(self, block: Block, parameters: Sequence[torch.nn.Parameter]) -> None:
        self._end_chunk()
        number = len(self._pass.order)
        self._pass.order.append(block)
        there = self.transfers.take(block)
        self._users[block.name] += 1
        self._pass.entered.append(partial(self._free, block, parameters))
        for parameter, values in zip(parameters, there, strict=True):
            parameter.data = values
            self._present.add(id(parameter))
        if self._order[number : number + 1] == [block] and number + 1 < len(self._order):
            self.transfers.prefetch(self._order[number + 1])

    def _leave(self, *_: Any) -> None:
        """After a module was called."""
        if self._pass.is_open:
            with torch._C.DisableTorchFunction():
                self._pass.entered.pop()()

    def _free(self, block: Block, parameters: Sequence[torch.nn.Parameter]) -> None:
        """One user less; after the last one, parameters are in host memory again."""
        self._users[block.name] -= 1
        if self._users[block.name]:
            return
        for parameter in parameters:
            parameter.data = self._hosted[id(parameter)]
            self._present.discard(id(parameter))
        self.transfers.release([block])

    # ---- parameters

    def device_of(self, parameter: torch.Tensor) -> torch.device:
        """Where it takes part in a computation."""
        return self.device if id(parameter) in self._hosted else parameter.device

    def stored(self, parameter: torch.Tensor) -> torch.Tensor:
        """Up to date, wherever it lies."""
        if id(parameter) not in self._present:
            self._settle(self._slots_among([parameter]))
        return parameter

    def at_hand(self, parameter: torch.Tensor) -> torch.Tensor:
        """On the compute device; a parameter that no module fetched is copied for this call."""
        if id(parameter) in self._present:
            return parameter
        self.transfers.fetches[self._names[id(parameter)]] += 1
        return self.stored(parameter).detach().to(self.device)

    def rows(self, parameter: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop−1 of a matrix on the compute device, until rows are asked for again."""
        if id(parameter) in self._present or id(parameter) not in self._hosted:
            return parameter[start:stop]
        chunk = self._rows(parameter, start, stop)
        self.steps.wait_for(chunk.name)
        self._end_chunk()
        (values,) = self.transfers.take(chunk)
        self._chunk = [chunk]
        if stop < len(parameter):
            self.transfers.prefetch(self._rows(parameter, stop, min(2 * stop - start, len(parameter))))
        return values

    def _end_chunk(self) -> None:
        self.transfers.release(self._chunk)
        self._chunk = []

    def _rows(self, parameter: torch.Tensor, start: int, stop: int) -> Block:
        name = f"{self._names[id(parameter)]}[{start}:{stop}]"
        self._slots_of[name] = self._slots_among([parameter])
        return Block(name, (self._hosted[id(parameter)][start:stop],))

    def _block(self, name: str, parameters: Sequence[torch.nn.Parameter]) -> Block:
        self._slots_of[name] = self._slots_among(parameters)
        return Block(name, tuple(parameter.data for parameter in parameters))

    def _slots_among(self, parameters: Sequence[torch.Tensor]) -> list[Slot]:
        return [self.slot_of[id(parameter)] for parameter in parameters if id(parameter) in self.slot_of]

    # ---- updates

    def update(self, updates: Sequence[Update], *, num_threads: int) -> None:
        """w ← w − coefficient · z for all updates in order: made when a weight is read next."""
        self.transfers.forget()
        self.settle()  # what waits is one call's
        self._num_threads = num_threads
        self._waiting = {slot.name: list(updates) for slot in self.slots}

    def settle(self, slots: Sequence[Slot] | None = None) -> None:
        """Make the updates that wait, of these slots or of all."""
        self._settle(self.slots if slots is None else slots)

    def _settle_block(self, block: Block) -> None:
        self._settle(self._slots_of[block.name])

    def _settle(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            updates = self._waiting.pop(slot.name, None)
            if updates:
                values = self._hosted[id(self.parameters[slot.name])].view(-1)
                apply_updates(values, slot.offset, updates, num_threads=self._num_threads)

    def fingerprint(self) -> str:
        """As of any weights."""
        self.settle()
        return super().fingerprint()

    def save(self, path: Path) -> None:
        """As of any weights."""
        self.settle()
        super().save(path)

    def load(self, path: Path) -> None:
        """As of any weights."""
        self.settle()
        self.transfers.forget()
        super().load(path)


def _parts(module: torch.nn.Module, name: str = "") -> Iterator[tuple[str, torch.nn.Module, list[torch.nn.Parameter]]]:
    """Name, module and parameters of each block: members of the outermost lists whole, other modules what they own.

    Not the tables of embeddings, of which a pass needs few rows.
    """
    if isinstance(module, torch.nn.Embedding):
        return
    own = list(module.parameters(recurse=False))
    if own:
        yield name, module, own
    for key, child in module.named_children():
        path = f"{name}.{key}" if name else key
        if not isinstance(child, torch.nn.ModuleList):
            yield from _parts(child, path)
            continue
        for number, member in child.named_children():
            if parameters := list(member.parameters()):
                yield f"{path}.{number}", member, parameters


def _num_bytes(value: Any) -> int:
    sides = value.sides if type(value) is Pair else (value,)
    return sum(side.nbytes for side in sides if isinstance(side, torch.Tensor))


def _gather(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Move frozen parameters into one buffer in host memory, freeing each one's own memory at once."""
    buffer = torch.empty(sum(aligned(parameter.nbytes) for parameter in parameters), dtype=torch.uint8)
    begin = 0
    for parameter in parameters:
        there = buffer[begin : begin + parameter.nbytes].view(parameter.dtype).view(parameter.shape)
        parameter.data = there.copy_(parameter.detach())
        begin += aligned(parameter.nbytes)


def _pin(owner: object, tensors: Sequence[torch.Tensor]) -> None:
    """Lock host memory, so that copies to CUDA are asynchronous; as long as `owner` lives.

    It is registered where it is: `pin_memory` would round a buffer up to a power of two.
    """
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in tensors}
    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    for address, storage in storages.items():
        if storage.nbytes() < _PINNED_BYTES:
            continue
        failure = int(runtime.cudaHostRegister(address, storage.nbytes(), 0))
        if failure:
            raise ModelError(
                f'CUDA cannot lock {storage.nbytes() >> 20} MiB of host memory for model.device = "stream:cuda" (error '
                f"{failure}); allowed what the machine has free; use a smaller model or a 16-bit model.dtype"
            )
        weakref.finalize(owner, _unpin, storage)


def _unpin(storage: torch.UntypedStorage) -> None:
    torch.cuda.cudart().cudaHostUnregister(storage.data_ptr())  # type: ignore[no-untyped-call]
