"""Records of the learner: ranges hold from Python and from TOML, and nothing slow is imported for them."""

import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest

from learner.config import LearnerConfig, LoraSettings, ModelConfig, Settings, TaskConfig
from learner.errors import LearnerError, SettingsError

REFUSED: list[tuple[type[Settings], str, Any, str]] = [
    (LearnerConfig, "learning_rate", -1.0, "allowed: `float` > 0.0"),
    (LearnerConfig, "learning_rate", float("nan"), "allowed: `float` > 0.0"),
    (LearnerConfig, "learning_rate", "fast", "allowed: `float`"),
    (LearnerConfig, "perturbation_scale", -1e-3, "allowed: `float` > 0.0"),
    (LearnerConfig, "num_queries", 0, "allowed: `int` >= 1"),
    (LearnerConfig, "num_queries", 4097, "allowed: `int` <= 4096"),
    (LearnerConfig, "batch_size", 2.5, "allowed: `int`"),
    (LearnerConfig, "batch_size", True, "allowed: `int`"),
    (LearnerConfig, "clip", 0, "allowed: `float` >= 1e-06"),
    (LearnerConfig, "num_threads", 0, "allowed: `int` >= 1"),
    (LearnerConfig, "batch_devices", "yes", "allowed: `bool`"),
    (LearnerConfig, "direction", "gausian", "allowed: rademacher, gaussian; did you mean 'gaussian'?"),
    (ModelConfig, "dtype", "float8", "allowed: float32, bfloat16, float16; did you mean 'float32'?"),
    (ModelConfig, "dtype", 16, "allowed: float32, bfloat16, float16"),
    (ModelConfig, "compute_dtype", "bf16", "allowed: float32, bfloat16, float16; did you mean 'bfloat16'?"),
    (ModelConfig, "path", "", "allowed: `str` of length >= 1"),
    (ModelConfig, "lora", {"rank": 0}, "allowed: `int` >= 1 at `$.rank`"),
    (LoraSettings, "target_modules", ["q_proj", ""], "allowed: `str` of length >= 1 at `$[1]`"),
    (TaskConfig, "prompt", "no place for the sentence", "allowed: `str` matching regex '\\\\{text\\\\}'"),
    (TaskConfig, "verbalizer", {"0": " bad"}, "allowed: `object` of length >= 2"),
    (TaskConfig, "max_tokens", 0, "allowed: `int` >= 4"),
    (TaskConfig, "num_train", 0, "allowed: `int` >= 1"),
    (TaskConfig, "partition", "idd", "allowed: iid, dirichlet; did you mean 'iid'?"),
]


@pytest.mark.parametrize(("kind", "key", "value", "allowed"), REFUSED)
def test_what_toml_may_not_say_python_may_not_either(
    kind: type[Settings], key: str, value: object, allowed: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        kind(**{key: value})
    assert str(caught.value) == f"{kind.__name__}.{key}: got {value!r}; {allowed}"
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError):
        msgspec.structs.replace(kind(), **{key: value})
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{key}"):
        msgspec.convert({key: value}, kind)


def test_a_record_of_another_kind_is_no_value() -> None:
    with pytest.raises(SettingsError, match=r"ModelConfig\.lora: got LearnerConfig\(.*allowed: `object \| null`$"):
        ModelConfig(lora=LearnerConfig())  # type: ignore[arg-type]


def test_errors_of_settings_are_errors_of_the_learner_and_value_errors() -> None:
    assert issubclass(SettingsError, LearnerError)
    assert issubclass(SettingsError, ValueError)


def test_python_and_toml_make_the_same_record() -> None:
    made = LearnerConfig(learning_rate=np.float64(1e-3), batch_size=np.int64(3), clip=1)  # type: ignore[arg-type]
    assert made == msgspec.convert({"learning_rate": 1e-3, "batch_size": 3, "clip": 1}, LearnerConfig)
    assert [type(value) for value in (made.learning_rate, made.batch_size, made.clip)] == [float, int, float]
    lora = {"rank": 2, "target_modules": ["q_proj"]}
    assert ModelConfig(lora=lora) == msgspec.convert({"lora": lora}, ModelConfig)  # type: ignore[arg-type]


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"surprise": 1}, TaskConfig)
    with pytest.raises(SettingsError, match="unknown field `rnk`"):
        ModelConfig(lora={"rnk": 1})  # type: ignore[arg-type]


def test_defaults_pass_their_own_validation() -> None:
    for kind in (TaskConfig, ModelConfig, LearnerConfig, LoraSettings):
        assert msgspec.convert(msgspec.to_builtins(kind()), kind) == kind()


def test_configuration_errors_and_names_of_tasks_come_without_anything_slow() -> None:
    code = (
        "import sys, learner.config, learner.errors, learner.tasks.registry\n"
        "slow = {'torch', 'numpy', 'numba', 'scipy', 'transformers', 'tokenizers', 'datasets', 'triton'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
        "import learner.tasks.reading.sources\n"
        "print(sorted(slow & set(sys.modules) - {'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n[]\n"
