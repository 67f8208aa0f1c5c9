"""Whatever meets a perturbed weight is computed with it, or refused: modules that use every trick."""

import ctypes
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from learner.errors import ModelError
from learner.zo.directions import Direction, Shift
from learner.zo.flat_weights import FlatWeights
from learner.zo.guards.interception import check_interception
from learner.zo.pairs import BOTH, Pair, UnpairableError, joined, side
from learner.zo.perturbed_forward import Sweep

WIDTH, TOKENS, SCALE = 8, 20, 2.0**-4
F = nn.functional


class Tricky(nn.Module):
    """A language model, all but its middle, which is a function of x [B, T, 8], w [8, 8] and b [8]."""

    config = SimpleNamespace(model_type="tricky")

    def __init__(self, middle: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(TOKENS, WIDTH), nn.Linear(WIDTH, TOKENS)
        self.w, self.b = nn.Parameter(torch.randn(WIDTH, WIDTH)), nn.Parameter(torch.randn(WIDTH))
        self.middle = middle

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embed

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False) -> SimpleNamespace:
        return SimpleNamespace(logits=self.head(self.middle(self, self.embed(input_ids), self.w, self.b)))


class Named(NamedTuple):
    first: torch.Tensor
    rest: tuple[torch.Tensor, ...]


def plainly(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x @ w)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # models of the hub still have them
    scripted = torch.jit.script(plainly)


class Times(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return x @ w


def out_of(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return torch.matmul(x, w, out=torch.empty_like(x.detach()))


def into_fresh(x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    made = torch.zeros(x.shape)
    made += b
    return x + made


def by_pointer(x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    with torch._C.DisableTorchFunction():
        return x + ctypes.c_float.from_address(b.data_ptr()).value


def bypass(w: torch.Tensor) -> torch.Tensor:
    with torch._C.DisableTorchFunction():
        return w * 2


def foreach(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    first, second = torch._foreach_mul([w, b], [2.0, 3.0])
    return x @ first + second


def sorted_by(x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    found = torch.topk(x + b, 4, dim=-1)
    ordered = (x * b).sort(dim=-1)
    return x + found.values.sum(-1, keepdim=True) + (x - b).max(dim=-1, keepdim=True).values + ordered.values


def in_containers(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    parts = torch.cat([x, torch.stack([b, b * 2]).expand(len(x), 2, WIDTH)], dim=1)
    return torch.einsum("bth,hk->btk", parts, w)[:, : x.shape[1]] + torch.block_diag(*[w[:4, :4], w[4:, 4:]])[0]


EXACT = {
    "topk, sort and max by name": lambda m, x, w, b: sorted_by(x, b),
    "cat, stack, einsum, block_diag": lambda m, x, w, b: in_containers(x, w, b),
    "out": lambda m, x, w, b: out_of(x, w),
    "+= on what is fresh": lambda m, x, w, b: into_fresh(x, b),
    "foreach": lambda m, x, w, b: foreach(x, w, b),
    "scripted activation": lambda m, x, w, b: scripted(x, torch.ones(WIDTH, WIDTH)) * b,
    "torch.ops": lambda m, x, w, b: torch.ops.aten.linear.default(x, w, b),
    "torch.ops packet": lambda m, x, w, b: torch.ops.aten.mul(x, b),
    "autograd function": lambda m, x, w, b: Times.apply(x, w),
    "data": lambda m, x, w, b: x @ w.data + b.detach(),
    "transposed": lambda m, x, w, b: x @ w.T @ w.mT,
    "operators": lambda m, x, w, b: b - x / (1 + b.square()) + (2.0 ** -b.abs()),
    "a weight as the input": lambda m, x, w, b: x + F.linear(w, w, b)[0] + F.layer_norm(w, (WIDTH,), b, b)[0],
    "a weight as query": lambda m, x, w, b: F.scaled_dot_product_attention(w.expand(len(x), -1, -1), x, x)[:, :1] + x,
    "keywords": lambda m, x, w, b: torch.addmm(input=b, mat1=x.flatten(0, 1), mat2=w).view(x.shape),
    "indexed weight": lambda m, x, w, b: x + w[torch.tensor([1, 1])].sum(0) + w[2, 3] + b[None],
    "list of a weight": lambda m, x, w, b: x + sum(w.unbind(0)) + w.chunk(2, dim=0)[1][0] + next(iter(w)),
    "shape of a weight": lambda m, x, w, b: x * w.shape[0] + b * w.size(0) * w.numel() * w.dim() * len(w),
    "where and masks": lambda m, x, w, b: torch.where(x > 0, x, b) + (w > w).to(x.dtype).sum(),
    "clone": lambda m, x, w, b: x + w.clone().mul_(2).sum(0) + torch.empty_like(b).copy_(b),
    "numbers": lambda m, x, w, b: x + float(b[0]) + (1.0 if b.sum() > 0 else 0.0),
    "mapped over x": lambda m, x, w, b: torch.vmap(lambda row: row * b)(x),
}
REFUSED = {
    "scripted": (lambda m, x, w, b: scripted(x, w), "cannot be computed with perturbed weights .*TorchScript"),
    "mapped over the weight": (
        lambda m, x, w, b: x + torch.vmap(lambda row: row.sum())(w),
        "reads the weight w by aten::sum",
    ),
    "address": (lambda m, x, w, b: by_pointer(x, b), "reads a weight where it cannot be perturbed, by a pointer"),
    "bypass": (lambda m, x, w, b: x @ bypass(w), "reads the weight w by aten::mul"),
    "view written": (lambda m, x, w, b: (w.view(-1).zero_(), x)[1], "writes to the trained weight w in its forward"),
}
WRITES = {
    "in place": lambda m, x, w, b: x + b.mul_(1.5),
    "operator": lambda m, x, w, b: (b.__iadd__(x[0, 0]), x)[1],
    "set item": lambda m, x, w, b: (w.__setitem__(0, 0.0), x)[1],
    "copy": lambda m, x, w, b: (b.copy_(x[0, 0]), x)[1],
    "set data": lambda m, x, w, b: (setattr(b, "data", x[0, 0]), x)[1],
    "out": lambda m, x, w, b: (torch.add(x[0, 0], 1, out=b), x)[1],
    "foreach": lambda m, x, w, b: (torch._foreach_mul_([w, b], 2.0), x)[1],
    "function": lambda m, x, w, b: x + F.relu(b, True),
    "option": lambda m, x, w, b: x + F.elu(b, inplace=True),
    "max_norm": lambda m, x, w, b: x + F.embedding(torch.tensor([1]), w, None, 1.0),
    "init": lambda m, x, w, b: (nn.init.zeros_(b), x)[1],
}


def probed(model: nn.Module, ids: torch.Tensor) -> list[torch.Tensor]:
    """Logits of both signs, the way that ExampleLosses goes."""
    weights = FlatWeights(model)
    check_interception(model, weights, torch.float32)
    shift = Shift(Direction(5, 0), SCALE)
    with torch.inference_mode():
        try:
            with Sweep(weights, shift, torch.float32):
                logits = model(input_ids=ids).logits
            return [side(logits, n) for n in BOTH]
        except UnpairableError:
            made = []
            for n in BOTH:
                with Sweep(weights, shift, torch.float32, sides=(n,)):
                    made.append(model(input_ids=ids).logits)
            return made


@torch.inference_mode()
def really_moved(model: nn.Module, ids: torch.Tensor) -> list[torch.Tensor]:
    made = []
    for sign in (1, -1):
        copied, offset = Tricky(model.middle), 0
        for _, parameter in sorted(copied.named_parameters()):
            z = Direction(5, 0).values(parameter.numel(), first=offset).view(parameter.shape)
            parameter.add_(sign * SCALE * z)
            offset += -(-parameter.numel() // 128) * 128
        made.append(copied(input_ids=ids).logits)
    return made


IDS = torch.arange(10).view(2, 5)


@pytest.mark.parametrize("name", EXACT)
def test_tricks_are_computed_with_perturbed_weights(name: str) -> None:
    found = probed(Tricky(EXACT[name]), IDS)
    for got, wanted in zip(found, really_moved(Tricky(EXACT[name]), IDS), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", WRITES)
def test_a_model_that_writes_its_weights_is_refused_and_they_stay(name: str) -> None:
    model = Tricky(WRITES[name])
    before = {name: values.clone() for name, values in model.named_parameters()}
    with pytest.raises(
        ModelError, match=r"the model (writes to a trained weight in its forward pass|reads the weight)"
    ):
        probed(model, IDS)
    for key, values in model.named_parameters():
        assert torch.equal(values, before[key]), key


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_intercepted_is_refused_with_a_reason(name: str) -> None:
    middle, reason = REFUSED[name]
    with pytest.raises(ModelError, match=reason):
        probed(Tricky(middle), IDS)


def test_a_model_that_keeps_what_it_made_of_its_weights_is_refused() -> None:
    def cached(m: Tricky, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if not hasattr(m, "kept"):
            m.kept = [w.T.contiguous()]
        return x @ m.kept[0]

    with pytest.raises(ModelError, match=r"the model keeps kept, made from its weights"):
        probed(Tricky(cached), IDS)


@pytest.mark.parametrize("kind", ["buffer", "attribute", "parameter", "list"])
def test_another_tensor_in_the_memory_of_a_weight_is_refused(kind: str) -> None:
    model = Tricky(EXACT["data"])
    view = model.w.detach()[2:4]
    if kind == "buffer":
        model.register_buffer("other", view)
    elif kind == "parameter":
        model.other = nn.Parameter(view)
    else:
        object.__setattr__(model, "other", [view] if kind == "list" else view)
    with pytest.raises(ModelError, match=r"shares memory with the trained weight"):
        FlatWeights(model)


def test_weights_tied_as_one_parameter_are_no_aliases() -> None:
    model = Tricky(EXACT["data"])
    model.head.weight = model.embed.weight
    model.register_buffer("other", torch.ones(3))
    assert len(FlatWeights(model).slots) == 4


def test_weights_are_weights_again_after_an_error() -> None:
    def fails(m: Tricky, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError

    model = Tricky(fails)
    weights = FlatWeights(model)
    places = [p.data_ptr() for p in model.parameters()]
    with pytest.raises(ZeroDivisionError), Sweep(weights, Shift(Direction(0, 0), SCALE), torch.float32):
        model(input_ids=IDS)
    assert [p.data_ptr() for p in model.parameters()] == places
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_pair_has_no_values_of_its_own() -> None:
    pair = Pair.of((torch.ones(2), torch.zeros(2)))
    with torch._C.DisableTorchFunction(), pytest.raises(UnpairableError, match="cannot be computed side by side"):
        pair + 1
    with pytest.raises(UnpairableError, match=r"float32 \[2\] on cpu and torch.float32 \[3\]"):
        Pair.of((torch.ones(2), torch.ones(3)))


def test_results_keep_their_types() -> None:
    found = [torch.topk(torch.arange(5.0) * sign, 2) for sign in (1, -1)]
    both = joined(torch.topk, found)
    assert type(both) is torch.return_types.topk
    assert [side(both.values, n).tolist() for n in BOTH] == [[4.0, 3.0], [0.0, -1.0]]
    named = joined(torch.topk, [Named(torch.ones(1), (torch.ones(2),)), Named(torch.zeros(1), (torch.ones(2),))])
    assert type(named) is Named
    np.testing.assert_array_equal(side(named, 1).first, [0.0])
    with pytest.raises(UnpairableError, match=r"gives .* for the two signs"):
        joined(torch.topk, [object(), object()])
