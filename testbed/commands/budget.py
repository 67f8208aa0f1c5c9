"""`testbed budget`: a data set's privacy budget, which several runs draw from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption
from testbed.errors import ConfigError

if TYPE_CHECKING:
    from testbed.planning.dataset_budget import Budget

budget = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""A data set's privacy budget: a file that several runs draw their promises from, until it is spent.

    Examples:

        testbed budget init sst2.budget --epsilon 8 --delta 1e-5

        testbed run --set privacy.budget=sst2.budget --set schedule.name=static

        testbed budget show sst2.budget
    """,
)
app.add_typer(budget, name="budget")

PathArgument = Annotated[Path, typer.Argument(metavar="PATH", help="A budget file.")]


@budget.command()
def init(
    path: PathArgument,
    epsilon: Annotated[float, typer.Option(help="ε that all runs may promise together.")],
    delta: Annotated[float, typer.Option(help="δ that all runs may promise together; below 1/n for n people.")],
    level: Annotated[str, typer.Option(help="Whom it protects: client or example.")] = "client",
    adjacency: Annotated[str, typer.Option(help="How neighbouring data sets differ: replace or remove.")] = "replace",
    note: Annotated[str, typer.Option(help="Which data this is, for people.")] = "",
) -> None:
    """Make a budget file; one that is there is never begun anew.

    A run with privacy.budget = "PATH" draws its dp_epsilon and dp_delta before it transmits, and is refused when they
    are not left. The sums are what all runs leak together. Example:

        testbed budget init sst2.budget --epsilon 8 --delta 1e-5 --level example --note "SST-2, training split"
    """
    import msgspec

    from testbed.planning import dataset_budget

    asked: dict[str, Any] = {
        "type": "Opened",
        "epsilon": epsilon,
        "delta": delta,
        "level": level,
        "adjacency": adjacency,
        "note": note,
    }
    if not epsilon < float("inf"):  # also of nan, which no comparison refuses by itself
        raise ConfigError(f"--epsilon: got {epsilon}; allowed: a finite number above 0; give another")
    try:
        opened = msgspec.convert(asked, dataset_budget.Opened)
    except msgspec.ValidationError as err:
        key = str(err).rpartition("$.")[2].rstrip("`")
        rule = {
            "epsilon": "a finite number above 0",
            "delta": "a number between 0 and 1",
            "level": "client or example",
            "adjacency": "replace or remove",
        }[key]
        raise ConfigError(f"--{key}: got {asked[key]!r}; allowed: {rule}; give another") from err
    typer.echo(_words(dataset_budget.create(path, opened)))


@budget.command()
def show(path: PathArgument, json: JsonOption = False) -> None:
    """Say what a budget is, which runs have drawn from it, and what is left.

    Examples:

        testbed budget show sst2.budget

        testbed budget show sst2.budget --json
    """
    import msgspec

    from testbed.planning import dataset_budget

    found = dataset_budget.read(path)
    if not json:
        typer.echo(_words(found))
        return
    shown = {
        "budget": found.opened,
        "runs": found.reserved,
        "epsilon_left": found.epsilon_left,
        "delta_left": found.delta_left,
    }
    typer.echo(msgspec.json.format(msgspec.json.encode(shown)).decode())


def _words(found: Budget) -> str:
    opened = found.opened
    note = f"  {opened.note}" if opened.note else ""
    whole = f"({opened.epsilon:g}, {opened.delta:g}) at {opened.level} level, adjacency {opened.adjacency}"
    lines = [f"{found.path}: {whole}{note}"]
    lines += [f"  {r.utc}  ({r.epsilon:g}, {r.delta:g})  {r.run}  {r.run_id}" for r in found.reserved]
    lines.append(f"left: ({found.epsilon_left:.6g}, {found.delta_left:.6g})")
    return "\n".join(lines)
