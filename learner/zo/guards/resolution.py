"""Whether a perturbation can be told in 16-bit arithmetic: w + μ and w − μ may round to the same number."""

import math
import warnings

import torch

from learner.errors import ModelError
from learner.zo.flat_weights import FlatWeights

_SAMPLE = 4096  # weights of each matrix that are looked at
_REFUSED_SHARE, _WARNED_SHARE = 0.5, 0.1


def check_resolution(weights: FlatWeights, scale: float, dtype: torch.dtype) -> None:
    """ModelError if more than half of the matrices' weights come out the same at +μ and −μ; a warning from a tenth on.

    Where a share u of float32 weights does not move, the others move by a whole step: the perturbation is right in the
    mean, with u/(1 − u) times its own power as noise; at one half as much noise as signal. 16-bit weights that do not
    move would not even be right in the mean.
    """
    if dtype == torch.float32:
        return
    unmoved, spacings, counts = [], [], []
    for parameter in weights.parameters.values():
        if parameter.ndim < 2 or not parameter.numel():
            continue  # short ones are perturbed in float32
        sample = parameter.detach().reshape(-1)[:: -(-parameter.numel() // _SAMPLE)].float()
        unmoved.append(float(((sample + scale).to(dtype) == (sample - scale).to(dtype)).float().mean()))
        magnitude = float(sample.abs().quantile(0.95))
        spacings.append(torch.finfo(dtype).eps * 2.0 ** math.floor(math.log2(magnitude)) if magnitude else 0.0)
        counts.append(parameter.numel())
    if not counts:
        return
    share = sum(u * count for u, count in zip(unmoved, counts, strict=True)) / sum(counts)
    if share <= _WARNED_SHARE:
        return
    name = str(dtype).removeprefix("torch.")
    text = (
        f"learner.perturbation_scale is {scale:.3g}, below the resolution of {name}: {share:.0%} of the weights are "
        f"the same at + and -; allowed up to {_REFUSED_SHARE:.0%}; raise it to {max(spacings):.1g}, or set "
        'model.compute_dtype = "float32"'
    )
    if share > _REFUSED_SHARE:
        raise ModelError(text)
    warnings.warn(text, RuntimeWarning, stacklevel=2)
