"""At load, once: every weight that a model reads, it reads perturbed, and keeps nothing of it."""

from typing import Any

import torch

from learner.errors import LearnerError, ModelError
from learner.zo.directions import Direction, Shift
from learner.zo.flat_weights import FlatWeights
from learner.zo.guards.aliases import tensors_of
from learner.zo.guards.covers import Covers, Watch
from learner.zo.pairs import BOTH, Pair, Sides, UnpairableError
from learner.zo.perturbed_forward import Sweep

_LENGTH = 8
_SCALE = 2.0**-10
_SIDES: tuple[Sides, ...] = (BOTH, (0,))


@torch.inference_mode()
def check_interception(model: Any, weights: FlatWeights, dtype: torch.dtype) -> None:
    """ModelError if a forward pass on a few tokens reads a weight unperturbed, writes one, or cannot be made.

    To be called before any other forward pass, so that nothing derived from weights is kept already.
    """
    covers = Covers(weights.parameters)
    embeddings = model.get_input_embeddings().weight
    ids = torch.arange(2 * _LENGTH, device=embeddings.device).view(2, _LENGTH) % len(embeddings)
    is_nan = False
    for sides in _SIDES:
        sweep = Sweep(weights, Shift(Direction(0, 0), _SCALE), dtype, covers=covers, sides=sides)
        try:
            with sweep, Watch(covers):
                logits = model(input_ids=ids, use_cache=False).logits
        except UnpairableError:
            continue  # one sign after the other, then
        except LearnerError:
            raise
        except Exception as err:
            first = (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(".;: ")
            raise ModelError(
                f"a model of type {model.config.model_type!r} with arithmetic in {str(dtype).removeprefix('torch.')} "
                f"cannot be computed with perturbed weights ({type(err).__name__}: {first}); try model.compute_dtype = "
                '"float32", or choose another model'
            ) from err
        finally:
            _check_nothing_is_kept(model)
        made = logits.sides if type(logits) is Pair else (logits,)
        is_nan = is_nan or any(bool(torch.isnan(each).any()) for each in made)
    _check_plain_forward(model, weights, ids, is_nan)


def _check_nothing_is_kept(model: torch.nn.Module) -> None:
    for name, value in tensors_of(model):
        if type(value) is Pair:
            raise ModelError(
                f"the model keeps {name}, made from its weights, from one forward pass to the next, where it would not "
                "follow them; choose another implementation of this model"
            )


def _check_plain_forward(model: Any, weights: FlatWeights, ids: torch.Tensor, was_nan: bool) -> None:
    """At w itself nothing is covered: NaN that are gone now were covers, and weights may have been written."""
    before = {name: parameter._version for name, parameter in weights.parameters.items()}
    logits = model(input_ids=ids, use_cache=False).logits
    for name, parameter in weights.parameters.items():
        if parameter._version != before[name]:
            raise ModelError(
                f"the model writes to the trained weight {name} in its forward pass; weights may change by updates "
                "only; choose another implementation of this model"
            )
    if was_nan and bool(torch.isfinite(logits).all()):  # others are found and named by the scorer
        raise ModelError(
            f"a model of type {model.config.model_type!r} reads a weight where it cannot be perturbed, by a pointer or "
            "in foreign code; choose another implementation of this model"
        )
