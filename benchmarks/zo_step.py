"""Time and memory of a zeroth-order step, against two forward passes, the published procedure and AdamW.

python -m benchmarks.zo_step [--device cuda] [--threads 2] [--runs 7]

The shape is OPT-125M with random weights. Seconds are medians of interleaved runs in this process; ratios of them are
what counts. "Two forwards" are this code's own inference with the same loss and head; the references are plain Hugging
Face models with full logits. The last line is one JSON object.
"""

import argparse
import gc
import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.measure import interleaved_medians_s, live_bytes, peak_bytes
from benchmarks.opt_125m import MezoReference, adamw_step, as_text, make_batch, make_model
from learner.config import ModelConfig
from learner.models.load import load_model
from learner.tasks.batches import AnyBatch
from learner.zo.replica import Replica

SHAPES = {"8x128": (8, 128), "16x64": (16, 64), "16x32": (16, 32), "1x32": (1, 32)}
SCALE = 1e-3
REPLAYED = 256
NUM_HOSTED = 100


class Zo:
    """Steps of one replica, each with its own seed."""

    def __init__(self, model: Any, *, threads: int, compute_dtype: torch.dtype | None = None) -> None:
        device = model.device
        self.replica = Replica(model, None, num_threads=threads, compute_dtype=compute_dtype, device=device)
        self._seeds = itertools.count()

    def step(self, batch: AnyBatch) -> None:
        """Scalar and update."""
        seed = next(self._seeds)
        found = self.replica.scalars([batch], seed=seed, num_queries=1, perturbation_scale=SCALE)
        self.replica.update(seed, [float(np.float32(1e-7 * found.projected_gradients[0, 0]))])

    def two_forwards(self, batch: AnyBatch) -> None:
        """Inference, twice, with the same loss and head."""
        self.replica.losses([batch, batch])


def step_times(threads: int, runs: int, device: str) -> dict[str, float]:
    """All ratios of seconds."""
    zo = Zo(make_model().to(device), threads=threads)
    has_bf16 = has_bf16_units(device)
    bf16 = Zo(make_model().to(device), threads=threads, compute_dtype=torch.bfloat16) if has_bf16 else None
    mezo = MezoReference(make_model().to(device))
    adamw = adamw_step(make_model().to(device))
    times = {}
    for name, size in SHAPES.items():
        batch = make_batch(*size)
        ids = batch.input_ids.to(device)
        actions = {
            "step": lambda batch=batch: zo.step(batch),
            "two_forwards": lambda batch=batch: zo.two_forwards(batch),
            "mezo": lambda ids=ids: mezo.step(ids, 1),
        }
        if name == "8x128":
            actions["lm"] = lambda batch=batch: zo.step(as_text(batch))
            actions["adamw"] = lambda ids=ids: adamw(ids)
            actions["forward"] = lambda batch=batch: zo.replica.losses([batch])
            if bf16 is not None:
                actions["bf16"] = lambda batch=batch: bf16.step(batch)
        times[name] = interleaved_medians_s(actions, num_runs=runs, close=("step", "two_forwards"))
        print(name, {key: round(value, 4) for key, value in times[name].items()}, flush=True)
    journal = [(seed, [float(np.float32(1e-9))]) for seed in range(REPLAYED)]
    replay_s = interleaved_medians_s({"replay": lambda: zo.replica.replay(journal)}, num_runs=3)["replay"] / REPLAYED
    print("replay of one round", round(replay_s, 5), flush=True)
    long = times["8x128"]
    ratio = {name: found["step"] / found["two_forwards"] for name, found in times.items()}
    return {
        "step_over_two_forwards": max(ratio["8x128"], ratio["16x64"], ratio["16x32"]),
        **{f"step_over_two_forwards_{name}": value for name, value in ratio.items()},
        "step_over_mezo_reference": long["step"] / long["mezo"],
        "step_over_mezo_reference_16x32": times["16x32"]["step"] / times["16x32"]["mezo"],
        "lm_step_over_mezo_reference": long["lm"] / long["mezo"],
        "step_over_adamw": long["step"] / long["adamw"],
        "bf16_step_over_mezo_reference": long["bf16"] / long["mezo"] if bf16 is not None else None,
        "bf16_scalar_correlation": correlation(zo, bf16) if bf16 is not None else None,
        "replay_over_forward": replay_s / long["forward"],
    }


def has_bf16_units(device: str) -> bool:
    """Whether the device multiplies bfloat16 natively."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def correlation(first: Zo, second: Zo, num_seeds: int = 96) -> float:
    """Of the scalars of two replicas at the same weights, over seeds."""
    batch = make_batch(*SHAPES["16x32"], seed=1)
    weights = [zo.replica.model.state_dict() for zo in (first, second)]
    for name, values in weights[0].items():
        weights[1][name].copy_(values)
    found = [
        [
            zo.replica.scalars([batch], seed=seed, num_queries=1, perturbation_scale=SCALE).projected_gradients[0, 0]
            for seed in range(num_seeds)
        ]
        for zo in (first, second)
    ]
    return float(np.corrcoef(found)[0, 1])


def peaks(threads: int, device: str) -> dict[str, float]:
    """All ratios of live tensor bytes, at 8 x 128 tokens."""
    batch = make_batch(*SHAPES["8x128"])

    def measured(make: Any) -> Iterator[int]:
        gc.collect()
        elsewhere = live_bytes()
        for action in make():
            yield peak_bytes(action, elsewhere_bytes=elsewhere)

    def fp32() -> Iterator[Any]:
        zo = Zo(make_model().to(device), threads=threads)
        yield lambda: zo.replica.losses([batch])
        yield lambda: zo.step(batch)
        for hosted in (1, NUM_HOSTED):
            batches = [make_batch(*SHAPES["1x32"])] * hosted
            yield lambda batches=batches: zo.replica.scalars(batches, seed=1, num_queries=1, perturbation_scale=SCALE)

    def short() -> Iterator[Any]:
        zo = Zo(make_model(torch.bfloat16).to(device), threads=threads)
        yield lambda: zo.step(batch)

    def adamw() -> Iterator[Any]:
        step, ids = adamw_step(make_model().to(device)), batch.input_ids.to(device)
        yield lambda: step(ids)

    inference, step, one, many = measured(fp32)
    (sixteen,) = measured(short)
    (reference,) = measured(adamw)
    named = {"inference": inference, "step": step, "bfloat16": sixteen, "AdamW": reference}
    named |= {"one hosted device": one, f"{NUM_HOSTED} hosted devices": many}
    for name, value in named.items():
        print(f"peak of {name}: {value / 2**20:.0f} MiB", flush=True)
    return {
        "peak_over_inference": step / inference,
        "peak_over_adamw_fp32": step / reference,
        "peak_over_adamw_16bit": sixteen / reference,
        "peak_100_devices_over_one": many / one,
    }


def changed_bits(threads: int, device: str) -> int:
    """Bits of the weights that idle probes change: 1,000 rounds of the embedded model and 3 of OPT-125M's shape."""
    changed = 0
    for dtype in ("float32", "float16", "bfloat16"):
        model, _ = load_model(ModelConfig(dtype=dtype))
        small = make_batch(2, 16)
        small.input_ids.remainder_(model.config.vocab_size)
        small.class_tokens.remainder_(model.config.vocab_size)
        changed += _changed(Replica(model, None, num_threads=1, device=device), small, 1000)
        large = Replica(make_model(getattr(torch, dtype)), None, num_threads=threads, device=device)
        changed += _changed(large, make_batch(1, 32), 3)
    return changed


def _changed(replica: Replica, batch: AnyBatch, rounds: int) -> int:
    before = [p.detach().clone().view(torch.uint8) for p in replica.model.parameters()]
    for seed in range(rounds):
        replica.scalars([batch], seed=seed, num_queries=1, perturbation_scale=SCALE)
    after = [p.detach().view(torch.uint8) for p in replica.model.parameters()]
    return sum(
        int(np.bitwise_count((a ^ b).cpu().numpy()).sum(dtype=np.int64)) for a, b in zip(before, after, strict=True)
    )


def main() -> None:
    """Print every ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = arguments.device
    if device != "cpu":
        torch.empty(0, device=device)  # from here on, figures are of the device
    results: dict[str, float | None] = {"probe_changed_weights": changed_bits(arguments.threads, device)}
    results |= peaks(arguments.threads, device)
    results |= step_times(arguments.threads, arguments.runs, device)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
