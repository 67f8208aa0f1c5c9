"""Time of x Wᵀ by the learner's kernel, plain and with W ± μz for two x, against oneDNN and MKL.

python -m benchmarks.products [--threads 2] [--runs 15]

Matrices of OPT-125M, as many of each as caches cannot hold. Seconds are medians of interleaved runs in this process,
per product, summed over the matrices of a layer. The last line is one JSON object of ratios, worst and by number of x.
"""

import argparse
import itertools
import json

import torch

from benchmarks.measure import Action, interleaved_medians_s
from learner.zo.directions import Direction, Shift
from learner.zo.products import perturbed_products, product

LAYER = {(768, 768): 4, (3072, 768): 1, (768, 3072): 1}
"""W [N, K] and how many a layer has."""
NUMS_OF_INPUTS = (32, 128, 512, 1024)
_COPIES = 12


def ways(shift: Shift, num_inputs: int, num_rows: int, width: int) -> dict[str, Action]:
    """Each way to multiply by the next matrix of many."""
    xs = [torch.randn(num_inputs, width) for _ in range(2)]
    matrices = itertools.cycle([torch.randn(num_rows, width) for _ in range(_COPIES)])

    def perturbed() -> None:
        if perturbed_products(shift, next(matrices), 0, xs, [None, None], (0, 1)) is None:
            raise SystemExit("the kernel does not run here: no numba, no vectors, or no GNU OpenMP")

    return {
        "kernel": lambda: product(xs[0], next(matrices), None),
        "perturbed": perturbed,
        "onednn": lambda: torch.ops.mkldnn._linear_pointwise.default(xs[0], next(matrices), None, "none", [], ""),
        "torch": lambda: torch.nn.functional.linear(xs[0], next(matrices)),
    }


def seconds_of_a_layer(num_inputs: int, runs: int) -> dict[str, float]:
    """Median seconds per product for each way, over the matrices of one layer."""
    shift, total = Shift(Direction(1, 0), 1e-3), dict.fromkeys(("kernel", "perturbed", "onednn", "torch"), 0.0)
    for (num_rows, width), count in LAYER.items():
        actions = ways(shift, num_inputs, num_rows, width)
        found = interleaved_medians_s(actions, num_runs=runs)
        for name, value in found.items():
            total[name] += count * value / (2 if name == "perturbed" else 1)
    return total


@torch.inference_mode()
def main() -> None:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = {}
    for num_inputs in NUMS_OF_INPUTS:
        found = seconds_of_a_layer(num_inputs, arguments.runs)
        work = 2 * num_inputs * sum(count * rows * width for (rows, width), count in LAYER.items()) / 1e9
        print(num_inputs, "inputs, GFLOP/s:", {name: round(work / value) for name, value in found.items()}, flush=True)
        results[f"kernel_over_onednn_{num_inputs}"] = found["kernel"] / found["onednn"]
        results[f"perturbed_over_kernel_{num_inputs}"] = found["perturbed"] / found["kernel"]
        results[f"kernel_over_torch_{num_inputs}"] = found["kernel"] / found["torch"]
    for name in ("kernel_over_onednn", "perturbed_over_kernel"):
        results[name] = max(value for key, value in results.items() if key.startswith(name))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
