"""Memory and communication of one round, measured: the paper's Table II (arXiv 2604.12401), which estimates them.

python -m benchmarks.paper.memory [--examples 16] [--tokens 64] [--model shape | a model.path] [--device cpu]

Memory is the peak of live tensor bytes of one device in one step, weights included, with the element type that the
paper counts in (16 bit) and with 32 bit. Communication is what one device sends and receives in one round: a scalar as
the analog symbol that it is, of which the air needs one complex sample, or as the 16 bits that the paper counts; a vote
as one bit; weights as they are kept. "Published" are the paper's estimates for OPT-125M, in its own unit, which is MiB.
The shape is OPT-125M with random weights. Prints a table and one JSON object last. Some two minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.measure import live_bytes, peak_bytes
from benchmarks.opt_125m import make_batch, make_model
from learner.baselines import batch_loss
from learner.config import ModelConfig
from learner.models.load import load_model
from learner.tasks.batches import Batch
from learner.zo.replica import Replica

MIB = 2**20
PUBLISHED_MIB = {"pAirZero": 250.0, "SGD": 600.0, "AdamW": 955.58}
PUBLISHED_UPLINK_MIB = 238.88
TYPES = {"32 bit": torch.float32, "16 bit": torch.bfloat16}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"SGD": torch.optim.SGD, "AdamW": torch.optim.AdamW}


def made(path: str, dtype: torch.dtype) -> Any:
    """The model with weights of that type."""
    if path == "shape":
        return make_model(dtype)
    model, _ = load_model(ModelConfig(path=path))
    return model.to(dtype)


def peaks_mib(path: str, dtype: torch.dtype, batch: Batch, device: str, threads: int) -> dict[str, float]:
    """Peak of each way to work on one batch."""
    found = zeroth_order(made(path, dtype), batch, device, threads)
    for name, make in OPTIMIZERS.items():
        gc.collect()
        elsewhere = live_bytes()
        model = made(path, dtype).to(device)
        found[name] = (
            peak_bytes(first_order_step(model, make, batch.to(torch.device(device))), elsewhere_bytes=elsewhere) / MIB
        )
        del model
    return found


def zeroth_order(model: Any, batch: Batch, device: str, threads: int) -> dict[str, float]:
    """Peaks, MiB, of a model that computes losses, and of one that learns from them."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    elsewhere = live_bytes() - weights
    replica = Replica(model, None, device=device, num_threads=threads)

    def step() -> None:
        found = replica.scalars([batch], seed=1, num_queries=1, perturbation_scale=1e-3, stops_on_infinity=False)
        replica.update(1, [float(np.float32(1e-9 * found.projected_gradients[0, 0]))])

    return {
        "weights alone": weights / MIB,
        "inference": peak_bytes(lambda: replica.losses([batch]), elsewhere_bytes=elsewhere) / MIB,
        "pAirZero": peak_bytes(step, elsewhere_bytes=elsewhere) / MIB,
    }


def first_order_step(model: Any, make: Callable[..., torch.optim.Optimizer], batch: Batch) -> Callable[[], None]:
    """A step by gradients, on the same loss."""
    parameters = list(model.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = make(parameters, lr=1e-9)

    def step() -> None:
        batch_loss(model, batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def table(found: dict[str, dict[str, float]]) -> str:
    """Markdown: a row for each way, MiB and share of AdamW's."""
    heads = [f"{unit}: {what}" for unit in found for what in ("MiB", "of AdamW")]
    lines = [f"| | {' | '.join(heads)} | published estimate, MiB |", "|---" * (len(heads) + 2) + "|"]
    for way in next(iter(found.values())):
        cells = [
            text for peaks in found.values() for text in (f"{peaks[way]:.0f}", f"{peaks[way] / peaks['AdamW']:.0%}")
        ]
        lines.append(f"| {way} | {' | '.join(cells)} | {PUBLISHED_MIB.get(way, '')} |")
    return "\n".join(lines)


def main() -> None:
    """Measure all ways in both types."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=16, help="of a batch; the paper does not say how many")
    parser.add_argument("--tokens", type=int, default=64, help="of an example")
    parser.add_argument("--model", default="shape", help='"shape" of OPT-125M with random weights, or a model.path')
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.device != "cpu":
        torch.empty(0, device=asked.device)  # from here on, figures are of the device
    batch = make_batch(asked.examples, asked.tokens)
    found = {}
    for unit, dtype in TYPES.items():
        found[unit] = peaks_mib(asked.model, dtype, batch, asked.device, asked.threads)
        print(f"{unit}: " + ", ".join(f"{way} {mib:.0f} MiB" for way, mib in found[unit].items()), flush=True)
    print(table(found))
    uplink_bits = {
        "pAirZero, analog (as the paper counts)": 16,
        "pAirZero, sign": 1,
        "weights, 16 bit": int(found["16 bit"]["weights alone"] * MIB * 8),
        "weights, 32 bit": int(found["32 bit"]["weights alone"] * MIB * 8),
    }
    for way, bits in uplink_bits.items():
        print(f"one device sends in a round, {way}: {bits} bits = {bits / 8 / MIB:.4g} MiB")
    peaks = found["16 bit"]
    figures = {
        "peaks_mib": {unit: {way: round(mib, 1) for way, mib in ways.items()} for unit, ways in found.items()},
        "pairzero_over_adamw_16bit": round(peaks["pAirZero"] / peaks["AdamW"], 3),
        "pairzero_over_sgd_16bit": round(peaks["pAirZero"] / peaks["SGD"], 3),
        "pairzero_over_inference_16bit": round(peaks["pAirZero"] / peaks["inference"], 3),
        "published_over_adamw": round(PUBLISHED_MIB["pAirZero"] / PUBLISHED_MIB["AdamW"], 3),
        "uplink_bits": uplink_bits,
        "published_uplink_mib_of_weights": PUBLISHED_UPLINK_MIB,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
