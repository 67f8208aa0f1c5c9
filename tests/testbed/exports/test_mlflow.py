"""Runs logged to a store of files are read back by MLflow's own client."""

import socket
import sys

import pytest
from mlflow import MlflowClient

import testbed
from testbed.errors import ConfigError
from testbed.exports import mlflow_store
from testbed.exports.mlflow_store import log_run


@pytest.fixture
def uri(tmp_path):
    return f"file://{tmp_path / 'mlruns'}"


def test_figures_parameters_and_files_come_back(finished, uri):
    run_id, number = log_run(finished, uri)
    client = MlflowClient(tracking_uri=uri)
    found = client.get_run(run_id)
    assert client.get_experiment(found.info.experiment_id).name == "quickstart"
    assert found.info.run_name == "finished"
    assert found.info.status == "FINISHED"
    assert found.data.params["rounds.num"] == "3"
    assert found.data.params["rig.air.snr_db"] == "20.0"
    assert found.data.tags["airzero.privacy"] == finished.summary.privacy
    estimates = client.get_metric_history(run_id, "air/estimate_0")
    assert [each.step for each in estimates] == [1, 2, 3]
    assert [each.value for each in estimates] == [record.estimate[0] for record in finished.rounds]
    assert found.data.metrics["summary/metric_final"] == finished.summary.metric_final
    assert number > 3 * 8
    assert {each.path for each in client.list_artifacts(run_id)} >= {"config.toml", "summary.json", "report.html"}


def test_a_run_that_went_on_is_continued_and_nothing_is_logged_twice(finished, uri):
    early = testbed.Run.open(finished.path)
    early.__dict__.update(summary=None, rounds=finished.rounds[:2])
    run_id, first = log_run(early, uri)
    client = MlflowClient(tracking_uri=uri)
    assert client.get_run(run_id).info.status == "RUNNING"
    again, second = log_run(finished, uri)
    assert again == run_id
    assert first > second > 0
    assert [each.step for each in client.get_metric_history(run_id, "air/estimate_0")] == [1, 2, 3]
    assert log_run(finished, uri) == (run_id, 0)
    assert client.get_run(run_id).info.status == "FINISHED"


def test_an_export_that_is_cut_off_goes_on_from_its_mark(finished, uri, monkeypatch):
    monkeypatch.setattr(mlflow_store, "_ROUNDS_A_MARK", 1)
    sent, log_batch = [], MlflowClient.log_batch

    def cut(self, run_id, metrics=(), **others):
        sent.extend(metrics)
        if any(each.step == 2 for each in metrics):
            raise KeyboardInterrupt
        return log_batch(self, run_id, metrics=metrics, **others)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_batch", cut)
        with pytest.raises(KeyboardInterrupt):
            log_run(finished, uri)
    run_id, _ = log_run(finished, uri)
    history = MlflowClient(tracking_uri=uri).get_metric_history(run_id, "air/estimate_0")
    assert [each.step for each in history] == [1, 2, 3]


def test_an_epsilon_that_claims_nothing_says_so_in_its_name(private, uri):
    run_id, _ = log_run(private, uri)
    metrics = MlflowClient(tracking_uri=uri).get_run(run_id).data.metrics
    assert "privacy_VOID/epsilon_spent" in metrics
    assert not [name for name in metrics if name.startswith("privacy/")]


def test_stores_that_refuse_and_missing_packages_are_one_line(finished, uri, monkeypatch):
    with pytest.raises(ConfigError, match=r"--mlflow gopher://x: .*allowed: http://"):
        log_run(finished, "gopher://x")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens
        with pytest.raises(ConfigError, match=r"--mlflow http://127.0.0.1:\d+: .*; allowed: "):
            log_run(finished, f"http://127.0.0.1:{held.getsockname()[1]}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")
    with pytest.raises(ConfigError, match="MLFLOW_ALLOW_FILE_STORE"):
        log_run(finished, uri)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"pip install 'airzero-testbed\[mlflow\]'"):
        log_run(finished, uri)
