"""`testbed keys`: who may take part from another machine."""

from __future__ import annotations

from typing import Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption
from testbed.errors import TransportError

keys = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Keys of this user on this machine, for runs on several machines; on one machine nothing needs to be done.

    Examples, the first on the access point's machine, the second on a GPU host, with the key that the first prints:

        testbed keys init

        testbed keys device gpu1 --access-point 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'

        testbed keys show
    """,
)
app.add_typer(keys, name="keys")


@keys.command()
def init() -> None:
    """Make this machine's pair of keys as an access point, which its air uses, too; one that is there stays.

    Example:

        testbed keys init
    """
    from testbed.control import keys as files

    try:
        made = files.create(files.ACCESS_POINT)
    except FileExistsError as err:
        raise TransportError(
            f"keys init: this machine has its keys already, in {err.args[0]}; `testbed keys show` shows the public "
            "one, and who wants another deletes that file"
        ) from err
    typer.echo(f"public key of this access point: {made.public}")
    typer.echo("\nNext, on every GPU host:")
    typer.echo(f"  testbed keys device NAME --access-point '{made.public}'")
    typer.echo("put the lines that it prints into the rig here, then:")
    typer.echo("  testbed air --bind tcp://ADDRESS:5556                  # of this machine; simulated rigs only")
    typer.echo("  testbed access-point --rig RIG --bind tcp://ADDRESS:5555 --air tcp://ADDRESS:5556")


@keys.command()
def device(
    name: Annotated[str, typer.Argument(help="Of this host, as the rig will call it.")],
    access_point: Annotated[
        str | None,
        typer.Option("--access-point", metavar="KEY", help="Public key of the access point that it talks to."),
    ] = None,
) -> None:
    """Make this host's pair of keys, or show it; remembers which access point it talks to.

    Example:

        testbed keys device gpu1 --access-point 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'
    """
    from testbed.control import keys as files

    file = files.make_device(name, access_point)
    typer.echo("For the rig, on the access point's machine (its own choice of devices):")
    typer.echo(f'\n[hosts.{name}]\nkey = "{file.public}"\ndevices = [0, 1]\n')
    if file.access_point is None:
        typer.echo("Next: the same command with --access-point and the key that `testbed keys show` prints there.")
    else:
        typer.echo("Then, here:")
        typer.echo("  testbed device --devices 0,1 --connect tcp://ADDRESS:5555")


@keys.command()
def show(json: JsonOption = False) -> None:
    """Show the public keys that are here, what they are for and who may read their files; secrets are never shown.

    Example:

        testbed keys show
    """
    import msgspec

    from testbed.control import keys as files

    found = []
    for name in files.names():
        file = files.load(name)
        row = {"name": name, "public": file.public, "mode": f"{files.mode(name):04o}", "purpose": _PURPOSES[file.kind]}
        found.append(row | ({"access_point": file.access_point} if file.access_point is not None else {}))
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    typer.echo(f"{files.folder()}:" if found else f"{files.folder()}: no keys yet; `testbed keys init` makes them")
    for row in found:
        peer = f", talks to {row['access_point']}" if "access_point" in row else ""
        typer.echo(f"{row['name']}  {row['public']}  {row['mode']}  {row['purpose']}{peer}")


_PURPOSES = {
    "local": "what talks on this machine only; made by itself",
    "access-point": "this machine as an access point, and its air",
    "device": "this machine as a GPU host",
}
