"""First-order methods beside the language model's runs: the same sentences, judged as often as they say."""

import pytest

from benchmarks import language_model


@pytest.mark.parametrize(("method", "steps"), [("fedsgd", 1), ("fedavg_adamw", language_model.LOCAL_STEPS)])
def test_first_order_methods_are_trained_and_judged(monkeypatch, method, steps):
    monkeypatch.setattr(language_model, "EXPERIMENT", "quickstart")
    monkeypatch.setattr(language_model, "FIRST_ORDER_ROUNDS", 4)
    monkeypatch.setattr(language_model, "NUM_EVALUATIONS", 2)
    monkeypatch.setattr(language_model, "LOCAL_STEPS", steps)
    rate = {"fedsgd": 0.01, "fedavg_adamw": 3e-3}[method]
    found = language_model.first_order(method, rate, 2, "embedded")
    assert found.at_rounds == (0, 2, 4)
    assert found.start == found.accuracies[0]
    assert found.accuracies[-1] > found.start + 0.1, "four rounds of gradients move the embedded model"
    assert found.uplink_bytes_per_device == 4 * 4 * 440_592
