"""One replica: probes, scalars, updates, replay, fingerprints."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from learner.config import ModelConfig
from learner.errors import LearnerError, ModelError
from learner.tasks.batches import Batch
from learner.tasks.task import Task
from learner.zo.directions import Direction
from learner.zo.evaluation import evaluate
from learner.zo.replica import Replica, replay

MakeTask = Callable[..., Task]
SETTINGS = {"seed": 123, "num_queries": 2, "perturbation_scale": 1e-3}


def batches_of(task: Task, batch_size: int = 6) -> list[Batch]:
    return [task.batch(device, 0, batch_size) for device in range(task.num_devices)]


def bits(replica: Replica) -> dict[str, np.ndarray]:
    return {name: values.view(np.uint32) for name, values in replica.weights().items()}


def direction_by_name(replica: Replica, seed: int, query: int) -> dict[str, np.ndarray]:
    """z laid out by the rule that the docs state: parameters by name, each at a multiple of 128."""
    weights = replica.weights()
    padded = [-(-values.size // 128) * 128 for _, values in sorted(weights.items())]
    z = Direction(seed, query).values(sum(padded)).numpy()
    starts = np.cumsum([0, *padded])
    return {
        name: z[start : start + values.size].reshape(values.shape)
        for start, (name, values) in zip(starts, sorted(weights.items()), strict=False)
    }


def mezo_loss(model: torch.nn.Module, batch: Batch) -> float:
    """Plain reference: full logits with an attention mask, float32, cross-entropy over the class words."""
    mask = torch.arange(batch.input_ids.shape[1]) <= batch.last_positions[:, None]
    logits = model(input_ids=batch.input_ids, attention_mask=mask.long()).logits
    at_label = logits[torch.arange(len(batch.labels)), batch.last_positions][:, batch.class_tokens]
    return float(torch.nn.functional.cross_entropy(at_label.double(), batch.labels))


def test_scalars_equal_a_plain_mezo_reference(any_model_dir: Path, make_task: MakeTask) -> None:
    replica = Replica.load(ModelConfig(path=str(any_model_dir)))
    reference = AutoModelForCausalLM.from_pretrained(any_model_dir, dtype=torch.float32).eval()
    batches, scale = batches_of(make_task()), 1e-2
    got = replica.scalars(batches, seed=9, num_queries=2, perturbation_scale=scale)
    expected, losses = np.zeros((3, 2)), np.zeros((3, 2, 2))
    for query in range(2):
        z = direction_by_name(replica, 9, query)
        for side, sign in enumerate((1, -1)):
            moved = copy.deepcopy(reference)
            with torch.no_grad():
                for name, parameter in moved.named_parameters():
                    parameter.add_(sign * scale * torch.from_numpy(z[name]))
                losses[:, query, side] = [mezo_loss(moved, batch) for batch in batches]
        expected[:, query] = (losses[:, query, 0] - losses[:, query, 1]) / (2 * scale)
    # float32 logits of size ~10 are good to ~1e-6 each; divided by 2 scale
    np.testing.assert_allclose(got.projected_gradients, expected, atol=1e-5 / scale)
    np.testing.assert_allclose(got.loss, losses.mean(axis=(1, 2)), atol=1e-5)
    assert np.abs(expected).max() > 0.1  # the comparison has something to compare
    assert got.projected_gradients.dtype == got.loss.dtype == np.float64


def test_scalars_approach_the_derivative_along_the_direction(
    replica: Replica, make_task: MakeTask, model_dirs: dict[str, Path]
) -> None:
    batches = batches_of(make_task())
    model = AutoModelForCausalLM.from_pretrained(model_dirs["opt"], dtype=torch.float32).double().eval()
    z = direction_by_name(replica, 4, 0)
    got = replica.scalars(batches, seed=4, num_queries=1, perturbation_scale=2e-4).projected_gradients[:, 0]
    for device, batch in enumerate(batches):
        logits = model(input_ids=batch.input_ids).logits[torch.arange(6), batch.last_positions]
        loss = torch.nn.functional.cross_entropy(logits[:, batch.class_tokens], batch.labels)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        names = [name for name, _ in model.named_parameters()]
        slope = sum(float((g * torch.from_numpy(z[n])).sum()) for n, g in zip(names, gradients, strict=True))
        assert got[device] == pytest.approx(slope, abs=0.02)


def test_probes_leave_every_bit_of_the_weights(any_model_dir: Path, make_task: MakeTask) -> None:
    replica = Replica.load(ModelConfig(path=str(any_model_dir)))
    before, fingerprint = bits(replica), replica.fingerprint()
    for seed in range(5):
        replica.scalars(batches_of(make_task()), seed=seed, num_queries=3, perturbation_scale=0.1)
    for name, values in bits(replica).items():
        np.testing.assert_array_equal(values, before[name])
    assert replica.fingerprint() == fingerprint


@pytest.mark.parametrize("hosted", [[0], [1], [2, 0], [1, 2]])
def test_a_device_computes_the_same_bits_whoever_is_hosted_with_it(
    hosted: list[int], any_model_dir: Path, make_task: MakeTask
) -> None:
    replica = Replica.load(ModelConfig(path=str(any_model_dir)))
    batches = batches_of(make_task())
    together = replica.scalars(batches, **SETTINGS)
    alone = replica.scalars([batches[device] for device in hosted], **SETTINGS)
    np.testing.assert_array_equal(alone.projected_gradients, together.projected_gradients[hosted])
    np.testing.assert_array_equal(alone.loss, together.loss[hosted])


def test_batching_devices_together_changes_only_rounding(model_dirs: dict[str, Path], make_task: MakeTask) -> None:
    config = ModelConfig(path=str(model_dirs["opt"]))
    batches = batches_of(make_task())
    each = Replica.load(config).scalars(batches, **SETTINGS)
    together = Replica.load(config, batch_devices=True).scalars(batches, **SETTINGS)
    np.testing.assert_allclose(together.projected_gradients, each.projected_gradients, atol=1e-2)
    np.testing.assert_allclose(together.loss, each.loss, atol=1e-5)


def test_scalars_repeat_exactly(replica: Replica, make_task: MakeTask) -> None:
    batches = batches_of(make_task())
    first, second = replica.scalars(batches, **SETTINGS), replica.scalars(batches, **SETTINGS)
    np.testing.assert_array_equal(first.projected_gradients, second.projected_gradients)


def test_the_same_number_comes_from_one_query_and_from_many(replica: Replica, make_task: MakeTask) -> None:
    batches = batches_of(make_task())
    many = replica.scalars(batches, seed=1, num_queries=4, perturbation_scale=1e-3).projected_gradients
    one = replica.scalars(batches, seed=1, num_queries=1, perturbation_scale=1e-3).projected_gradients
    np.testing.assert_array_equal(many[:, :1], one)


def test_update_equals_a_float32_oracle_bit_for_bit(any_model_dir: Path) -> None:
    replica = Replica.load(ModelConfig(path=str(any_model_dir)))
    expected = replica.weights()
    coefficients = [np.float32(3.1e-3), np.float32(-7.7e-5), np.float32(1e-12), np.float32(0.25)]
    for query, coefficient in enumerate(coefficients):
        z = direction_by_name(replica, 2**63 + 5, query)
        expected = {name: values - coefficient * z[name] for name, values in expected.items()}
    replica.update(2**63 + 5, [float(value) for value in coefficients])
    for name, values in replica.weights().items():
        assert expected[name].dtype == np.float32
        np.testing.assert_array_equal(values.view(np.uint32), expected[name].view(np.uint32))


def test_a_zero_coefficient_changes_nothing(replica: Replica) -> None:
    before = replica.fingerprint()
    replica.update(1, [0.0, -0.0])
    assert replica.fingerprint() == before


def test_replay_gives_the_live_weights(model_dirs: dict[str, Path], make_task: MakeTask, tmp_path: Path) -> None:
    config = ModelConfig(path=str(model_dirs["opt"]))
    live, late = Replica.load(config), Replica.load(config)
    task, journal = make_task(), []
    for round_index in range(6):
        batches = [task.batch(device, round_index, 4) for device in range(3)]
        p = live.scalars(batches, seed=round_index, num_queries=2, perturbation_scale=1e-3).projected_gradients
        coefficients = [float(np.float32(1e-3 * value)) for value in p.mean(axis=0)]
        live.update(round_index, coefficients)
        journal.append((round_index, coefficients))
        if round_index == 2:
            live.save_weights(tmp_path / "half.safetensors")
    replay(late, journal)
    assert late.fingerprint() == live.fingerprint()
    from_checkpoint = Replica.load(config, num_threads=2)
    from_checkpoint.load_weights(tmp_path / "half.safetensors")
    replay(from_checkpoint, iter(journal[3:]))
    assert from_checkpoint.fingerprint() == live.fingerprint()
    torch.set_num_threads(1)


def test_steps_against_the_gradient_lower_the_training_loss(replica: Replica, make_task: MakeTask) -> None:
    batches = batches_of(make_task(), batch_size=20)  # all 60 examples, in every round
    losses = []
    for seed in range(300):
        scalars = replica.scalars(batches, seed=seed, num_queries=1, perturbation_scale=1e-3)
        replica.update(seed, [float(np.float32(3e-4 * scalars.projected_gradients.mean()))])
        losses.append(scalars.loss.mean())
    assert losses[-1] < 0.9 * losses[0]


def test_the_fingerprint_sees_one_flipped_bit(replica: Replica, tmp_path: Path) -> None:
    before = replica.fingerprint()
    path = tmp_path / "weights.safetensors"
    replica.save_weights(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    replica.load_weights(path)
    assert replica.fingerprint() != before
    content[-1] ^= 1
    path.write_bytes(content)
    replica.load_weights(path)
    assert replica.fingerprint() == before


def test_tied_weights_are_one_parameter_and_stay_tied(model_dirs: dict[str, Path]) -> None:
    replica = Replica.load(ModelConfig(path=str(model_dirs["opt"])))
    model = AutoModelForCausalLM.from_pretrained(model_dirs["opt"])
    assert replica.num_parameters == model.num_parameters()
    assert "lm_head.weight" not in replica.weights()


def test_saved_weights_have_hugging_face_names_and_no_leftovers(replica: Replica, tmp_path: Path) -> None:
    replica.save_weights(tmp_path / "new" / "w.safetensors")
    saved = load_file(tmp_path / "new" / "w.safetensors")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["w.safetensors"]
    for name, values in replica.weights().items():
        np.testing.assert_array_equal(saved[name], values)


def test_weights_cannot_be_saved_where_a_file_is_in_the_way(replica: Replica, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match=r"cannot save weights to .*; choose a writable folder"):
        replica.save_weights(tmp_path / "file" / "w.safetensors")


def test_weights_of_another_model_are_refused_and_the_present_ones_stay(
    replica: Replica, model_dirs: dict[str, Path], tmp_path: Path
) -> None:
    before = replica.fingerprint()
    for name, expected in (("gpt2", "does not fit this model"), ("opt_projected", "does not fit this model")):
        path = tmp_path / f"{name}.safetensors"
        Replica.load(ModelConfig(path=str(model_dirs[name]))).save_weights(path)
        with pytest.raises(ModelError, match=expected):
            replica.load_weights(path)
    (tmp_path / "garbage").write_bytes(b"not safetensors at all")
    with pytest.raises(ModelError, match=r"is not valid safetensors: .*; save it again or restore a copy"):
        replica.load_weights(tmp_path / "garbage")
    with pytest.raises(ModelError, match="does not exist; give the path of a file written by save_weights"):
        replica.load_weights(tmp_path / "nothing")
    assert replica.fingerprint() == before


@pytest.mark.parametrize("coefficient", [0.1, float("nan"), float("inf"), 1e300])
def test_a_coefficient_that_is_no_finite_float32_is_refused_before_any_update(
    replica: Replica, coefficient: float
) -> None:
    before = replica.fingerprint()
    with pytest.raises(
        ModelError, match=r"coefficient 1 of seed 8 is .*; allowed finite float32 values; round it once"
    ):
        replica.update(8, [0.5, coefficient])
    assert replica.fingerprint() == before


def test_a_diverged_model_names_the_device_and_the_remedy(replica: Replica, make_task: MakeTask) -> None:
    replica.update(0, [float(np.float32(1e30))])
    with pytest.raises(ModelError, match=r"loss of hosted device 0 is not finite .*lower learner.learning_rate"):
        replica.scalars(batches_of(make_task()), **SETTINGS)


@pytest.mark.parametrize(
    "change", [{"num_queries": 0}, {"perturbation_scale": 0.0}, {"perturbation_scale": float("nan")}]
)
def test_senseless_scalar_settings_are_refused(replica: Replica, make_task: MakeTask, change: dict[str, float]) -> None:
    with pytest.raises(LearnerError, match="each must be positive"):
        replica.scalars(batches_of(make_task()), **{**SETTINGS, **change})


def test_no_batches_and_no_threads_are_refused(replica: Replica, model_dirs: dict[str, Path]) -> None:
    with pytest.raises(LearnerError, match="scalars of 0 batches"):
        replica.scalars([], **SETTINGS)
    with pytest.raises(LearnerError, match="num_threads is 0; allowed 1 or more"):
        Replica.load(ModelConfig(path=str(model_dirs["opt"])), num_threads=0)


def test_evaluation_scores_every_example_at_the_present_weights(replica: Replica, make_task: MakeTask) -> None:
    task = make_task()
    small, large = evaluate(replica, task, batch_size=4), evaluate(replica, task, batch_size=64)
    assert small.num_examples == large.num_examples == 30
    assert small.accuracy == large.accuracy
    assert small.loss == pytest.approx(large.loss, rel=1e-5)
    replica.scalars(batches_of(task), **SETTINGS)  # what a probe left behind must not be scored
    assert evaluate(replica, task, batch_size=4) == small
