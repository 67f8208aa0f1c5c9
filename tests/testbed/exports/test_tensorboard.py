"""Event files are read back by TensorBoard itself."""

import sys

import msgspec
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import testbed
from testbed.commands.cli import main
from testbed.errors import ConfigError, RunDirectoryError
from testbed.exports.tensorboard_files import write_events


def read(folder):
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def test_every_round_comes_back_with_its_step_and_value(finished, tmp_path):
    place, number = write_events(finished, tmp_path)
    assert place == tmp_path / "finished"
    events = read(place)
    for tag, name in (("air/estimate_0", "estimate"), ("air/true_mean_0", "true_mean")):
        scalars = events.Scalars(tag)
        assert [each.step for each in scalars] == [1, 2, 3]
        assert [each.value for each in scalars] == pytest.approx([getattr(r, name)[0] for r in finished.rounds])
    losses = events.Scalars("learning/loss")
    assert [each.value for each in losses] == pytest.approx([r.loss for r in finished.rounds])
    evaluated = events.Scalars("learning/accuracy")
    assert [each.step for each in evaluated] == [0, *(r.round + 1 for r in finished.rounds if r.metric is not None)]
    assert evaluated[0].value == pytest.approx(finished.info.initial_evaluation.metric)
    times = [each.wall_time for each in events.Scalars("time/wall_s")]
    assert times == sorted(times)
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("summary/")]
    assert sum(len(events.Scalars(tag)) for tag in tags) == number
    assert events.Scalars("summary/rounds_ok")[0].value == 3
    (config,) = events.Tensors("config.toml/text_summary")
    assert b"[experiment.rounds]" in config.tensor_proto.string_val[0]


def test_a_second_export_replaces_the_first(finished, tmp_path):
    place, number = write_events(finished, tmp_path)
    (place / "events.out.tfevents.1.of_somebody_else").write_bytes(b"")
    assert write_events(finished, tmp_path) == (place, number)
    assert len(list(place.glob("*.airzero"))) == 1
    assert (place / "events.out.tfevents.1.of_somebody_else").exists()
    assert len(read(place).Scalars("air/estimate_0")) == 3


def test_an_epsilon_that_claims_nothing_says_so_in_its_name(private, tmp_path):
    tags = read(write_events(private, tmp_path)[0]).Tags()["scalars"]
    assert "privacy_VOID/epsilon_spent" in tags
    assert "summary/epsilon_spent_VOID" in tags
    assert not [tag for tag in tags if tag.startswith("privacy/") or tag == "summary/epsilon_spent"]


def test_a_run_that_was_cut_off_is_exported_as_far_as_it_came(finished, tmp_path):
    run = testbed.Run.open(finished.path)
    run.__dict__["summary"] = None
    place, number = write_events(run, tmp_path)
    assert number > 0
    assert not [tag for tag in read(place).Tags()["scalars"] if tag.startswith("summary/")]


def test_a_missing_package_and_a_folder_that_cannot_be_written_are_one_line(finished, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="--tensorboard"):
        write_events(finished, tmp_path / "file")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match=r"pip install 'airzero-testbed\[tensorboard\]'"):
        write_events(finished, tmp_path)


def test_the_command_says_what_it_wrote_and_asks_where_to(finished, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", str(finished.path), "--tensorboard", str(tmp_path)])
    assert ended.value.code == 0
    assert f"numbers of 3 rounds in {tmp_path / 'finished'}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["export", str(finished.path)])
    assert ended.value.code == 2
    assert "--tensorboard FOLDER, --mlflow URI, or both" in capsys.readouterr().err


def test_what_is_not_finite_is_left_out(finished, tmp_path):
    run = testbed.Run.open(finished.path)
    broken = msgspec.structs.replace(run.rounds[0], loss=float("nan"))
    run.__dict__["rounds"] = (broken, *run.rounds[1:])
    assert [each.step for each in read(write_events(run, tmp_path)[0]).Scalars("learning/loss")] == [2, 3]
