"""A run in an MLflow tracking store: a server, a database file or a folder."""

from __future__ import annotations

import os
from typing import Any

from testbed.errors import ConfigError
from testbed.exports.series import batches, figures_of, final_figures, parameters_of
from testbed.results.run import Run
from testbed.results.words import INTERRUPTED

_TAG, _EXPORTED = "airzero.run_id", "airzero.rounds_exported"
_METRICS_A_CALL, _PARAMETERS_A_CALL, _ROUNDS_A_MARK = 1000, 100, 100
_MAX_VALUE = 500
"""Characters of a parameter that every MLflow since 1.0 keeps."""


def log_run(run: Run, uri: str) -> tuple[str, int]:
    """Log the run, or of one that was logged before what has come since; returns MLflow's run id and how many numbers.

    The MLflow experiment is called as the run's. Raises ConfigError without mlflow, and for a store that refuses.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a lab's runs are told to nobody
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its seven take minutes
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as err:
        raise ConfigError("--mlflow: mlflow is missing; install it with pip install 'airzero-testbed[mlflow]'") from err
    try:
        return _logged(MlflowClient(tracking_uri=uri), run)
    except (MlflowException, ValueError, OSError) as err:
        text = " ".join(str(err).split())
        raise ConfigError(
            f"--mlflow {uri}: {text.removesuffix('.')}; allowed: http://…, file:///…, and with "
            "pip install mlflow, all of it, sqlite:///…"
        ) from err


def _logged(client: Any, run: Run) -> tuple[str, int]:
    from mlflow.entities import Metric, Param

    experiment_id = _experiment(client, run.config.experiment.name)
    known = client.search_runs([experiment_id], filter_string=f"tags.`{_TAG}` = '{run.info.run_id}'", max_results=1)
    if known:
        run_id, first_round = known[0].info.run_id, int(known[0].data.tags[_EXPORTED])
    else:
        tags = {
            _TAG: run.info.run_id,
            _EXPORTED: "0",
            "airzero.commit": run.info.git or "not known",
            "airzero.privacy": run.summary.privacy if run.summary else "no claim: the run has not ended",
        }
        run_id = client.create_run(experiment_id, run_name=run.path.resolve().name, tags=tags).info.run_id
        first_round = 0
        parameters = [Param(key, value[:_MAX_VALUE]) for key, value in parameters_of(run.config).items()]
        for start in range(0, len(parameters), _PARAMETERS_A_CALL):
            client.log_batch(run_id, params=parameters[start : start + _PARAMETERS_A_CALL])
    number = 0
    for start in range(first_round, len(run.rounds), _ROUNDS_A_MARK):  # an export that is cut off goes on from its mark
        stop = min(start + _ROUNDS_A_MARK, len(run.rounds))
        for batch in batches(figures_of(run, first_round=start, stop=stop), _METRICS_A_CALL):
            metrics = [Metric(each.tag, each.value, int(each.unix_s * 1000), each.step) for each in batch]
            client.log_batch(run_id, metrics=metrics)
            number += len(batch)
        client.set_tag(run_id, _EXPORTED, str(stop))
    if run.summary is not None:
        for tag, value in final_figures(run.summary).items():
            client.log_metric(run_id, tag, value, step=len(run.rounds))
        client.set_tag(run_id, "airzero.privacy", run.summary.privacy)
        client.set_terminated(run_id, status="KILLED" if run.summary.stopped == INTERRUPTED else "FINISHED")
    elif run.info.failure is not None:
        client.set_terminated(run_id, status="FAILED")
    for path in (run.directory.config, run.directory.info, run.directory.summary, run.directory.report):
        if path.exists():
            client.log_artifact(run_id, str(path))
    return run_id, number


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found is not None else client.create_experiment(name)
