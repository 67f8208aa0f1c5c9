"""`testbed dashboard`: the live page of runs, and the same beside a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from testbed.commands.app import app

PLAN_COMMAND = (sys.executable, "-m", "testbed.commands.screen.planned")


@app.command()
def dashboard(
    run_dirs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN_DIR", help="Run directories, finished or not (default: the newest in runs/)."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address of this machine to serve at; others than loopback see it too.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: any free one (default: 8050, or a free one).")
    ] = None,
    until_closed: Annotated[
        bool, typer.Option("--until-closed", hidden=True, help="End when standard input does.")
    ] = False,
) -> None:
    """Show runs on a local web page, while they go on and afterwards; several are compared.

    Only reads the files of the run directories, and sends nothing to any other host. Elsewhere:
    `ssh -L 8050:127.0.0.1:8050 THIS_MACHINE`, then http://localhost:8050/. Examples:

        testbed dashboard

        testbed dashboard runs/20261121-120000-quickstart runs/ideal

        testbed run --dashboard
    """
    directories = [_checked(path) for path in run_dirs or []] or [_newest()]
    from testbed.dashboard.server import serve

    def announce(address: str) -> None:
        if not host.startswith("127.") and host != "::1":
            typer.echo(f"warning: whoever reaches {host} sees these runs, unencrypted; `ssh -L` is safer", err=True)
        typer.echo(f"dashboard at {address}")
        sys.stdout.flush()

    serve(
        directories,
        host=host,
        port=port,
        plan_command=PLAN_COMMAND,
        on_ready=announce,
        until=sys.stdin.buffer.read if until_closed else None,
    )


def _checked(path: Path) -> Path:
    """A directory that is there, or may still come; raises typer.BadParameter for what can never be a run's."""
    if path.exists() and not path.is_dir():
        raise typer.BadParameter(f"got {path}, a file; allowed: run directories", param_hint="RUN_DIR")
    if not path.exists() and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"got {path}, and its folder is not there either", param_hint="RUN_DIR")
    if path.is_dir() and any(path.iterdir()) and not (path / "config.toml").is_file():
        raise typer.BadParameter(f"got {path}, which is no run directory (no config.toml in it)", param_hint="RUN_DIR")
    return path


def _newest() -> Path:
    found = sorted(Path("runs").glob("*/config.toml"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise typer.BadParameter("got none, and there is no run in runs/; give one", param_hint="RUN_DIR")
    return found[-1].parent
