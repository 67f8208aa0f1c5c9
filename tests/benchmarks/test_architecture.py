"""What benchmarks/architecture.py claims, and that every benchmark can be started."""

import importlib
from pathlib import Path

import pytest

from benchmarks import architecture
from benchmarks.scalars_way import stops_of_a_scalar

MODULES = sorted(path.stem for path in (architecture.ROOT / "benchmarks").glob("*.py") if path.stem != "__init__")


def test_every_room_is_above_those_that_it_uses_and_no_file_is_long():
    graph = architecture.import_graph()
    assert architecture.upward_imports(graph) == []
    assert architecture.import_circles(graph) == []
    assert max(architecture.files_in_rooms().values()) <= 14
    assert max(architecture.lines_of_files().values()) <= 400


def test_an_import_upwards_would_be_found():
    graph = architecture.import_graph()
    graph.add_edge("radio.samples", "radio.link.block")
    graph.add_edge("testbed.privacy.gaussian", "testbed.rounds.loop")
    assert architecture.upward_imports(graph) == [
        ("radio.samples", "radio.link.block"),
        ("testbed.privacy.gaussian", "testbed.rounds.loop"),
    ]


def test_a_circle_would_be_found():
    graph = architecture.import_graph()
    graph.add_edge("radio.errors", "radio.samples")
    assert ["radio.errors", "radio.samples"] in [
        [module for module in circle if module in ("radio.errors", "radio.samples")]
        for circle in architecture.import_circles(graph)
    ]


def test_a_scalar_has_at_most_eight_stops(tmp_path: Path):
    stops = stops_of_a_scalar(tmp_path)
    assert 6 <= len(stops) <= 8
    assert stops[0] == "learner.zo.replica.Replica.scalars"
    assert stops[-1].startswith("learner.zo.")


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_can_be_imported(name):
    assert importlib.import_module(f"benchmarks.{name}").__doc__
