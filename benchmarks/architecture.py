"""What the house is like: floors, circles, rooms, lines; a scalar's way; and what it takes to add a part.

``python -m benchmarks.architecture`` reads the imports of every file (also those for types only, and those inside of
functions), follows one scalar through executed rounds, and runs an experiment with an outside package's parts. The last
line is one JSON object.
"""

from __future__ import annotations

import ast
import json
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import networkx as nx

from benchmarks.outside_parts import files_to_add
from benchmarks.scalars_way import stops_of_a_scalar

ROOT = Path(__file__).parents[1]
PACKAGES = ("radio", "learner", "testbed")
MAX_LINES_LISTED = 5


def sources() -> dict[str, Path]:
    """Module name → file, of all packages."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path, package: str, known: set[str]) -> Iterator[str]:
    """Modules of ours that a file imports, anywhere in it; ``package`` is what its relative imports start from."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names]
        else:
            continue
        yield from (name for name in names if name in known)


def import_graph() -> nx.DiGraph:
    """An arrow from every file to every file that it imports."""
    files = sources()
    graph = nx.DiGraph()
    graph.add_nodes_from(files)
    for module, path in files.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        graph.add_edges_from((module, other) for other in imports_of(path, package, set(files)) if other != module)
    return graph


def upward_imports(graph: nx.DiGraph) -> list[tuple[str, str]]:
    """Imports against the floors that the import contracts of pyproject.toml declare."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    found = []
    for contract in (contract for contract in contracts if contract["type"] == "layers"):
        for container in contract.get("containers", [""]):
            floors = {}
            for height, layer in enumerate(reversed(contract["layers"])):
                for name in layer.replace(":", "|").split("|"):
                    floors[".".join(filter(None, (container, name.strip(" ()"))))] = height
            for module, other in graph.edges:
                here, there = _floor(module, floors), _floor(other, floors)
                if here is not None and there is not None and here[0] != there[0] and here[1] <= there[1]:
                    found.append((module, other))
    return sorted(set(found))


def _floor(module: str, floors: dict[str, int]) -> tuple[str, int] | None:
    """The room that a module is in, and its floor."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[:end])
        if name in floors:
            return name, floors[name]
    return None


def import_circles(graph: nx.DiGraph) -> list[list[str]]:
    """Groups of files each of which reaches all others."""
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def files_in_rooms() -> dict[str, int]:
    """Room → how many files it holds, but for the one that makes it a package."""
    rooms: dict[str, int] = {}
    for path in sources().values():
        if path.name != "__init__.py":
            room = str(path.parent.relative_to(ROOT))
            rooms[room] = rooms.get(room, 0) + 1
    return rooms


def lines_of_files() -> dict[str, int]:
    """File → lines, of packages, tests, benchmarks and examples."""
    folders = (*PACKAGES, "tests", "benchmarks", "examples")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def main() -> None:
    """Print what was found, then one JSON object."""
    graph = import_graph()
    upward, circles = upward_imports(graph), import_circles(graph)
    rooms, lines = files_in_rooms(), lines_of_files()
    for module, other in upward:
        print(f"upward: {module} imports {other}")
    for circle in circles:
        print(f"circle: {', '.join(circle)}")
    print(f"{len(graph)} files in {len(rooms)} rooms, {graph.number_of_edges()} imports")
    for path, count in sorted(lines.items(), key=lambda item: -item[1])[:MAX_LINES_LISTED]:
        print(f"{count:4d} lines: {path}")
    with tempfile.TemporaryDirectory() as directory:
        stops = stops_of_a_scalar(Path(directory))
        noisy = stops_of_a_scalar(Path(directory), "privacy.artificial_noise_std=0.5")
        added = files_to_add(Path(directory))
    for number, stop in enumerate(stops, 1):
        print(f"stop {number}: {stop}")
    print(f"with artificial noise also: {', '.join(stop for stop in noisy if stop not in stops)}")
    figures = {
        "upward_imports": len(upward),
        "import_circles": len(circles),
        "max_files_in_a_room": max(rooms.values()),
        "max_lines": max(lines.values()),
        "stops_of_a_scalar": len(stops),
        "stops": stops,
        "stops_with_artificial_noise": len(noisy),
        **added,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
