"""Digests of all that decides a run, made the same way by the access point and by every host, and compared on joining.

What may differ between machines is in none of them: paths, devices, threads, installed versions of other packages. That
these leave every bit of the weights alone is compared during the run (`learner.fingerprint_every`).
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec

from learner.tasks.registry import template
from radio.schemes.registry import scheme
from testbed import plugins
from testbed.config.backends import backend_of
from testbed.config.hosts import without_host_keys
from testbed.config.schema import RunConfig
from testbed.control.proof import Proof
from testbed.errors import TestbedError
from testbed.hosts.local_work import Loaded
from testbed.optimisers.registry import optimiser
from testbed.schedule.registry import schedule

PACKAGES = ("learner", "radio", "testbed")
"""The toolkit's own."""
_THIS_PROCESS = secrets.token_bytes(32)


def proof_of(loaded: Loaded, config: RunConfig) -> Proof:
    """What this process computes with; ``loaded`` must be untouched, ``config`` with this host's overrides.

    Some 0.1 s, and the tokenisation of the test split, which an evaluation then finds done. Raises LearnerError or
    TestbedError.
    """
    return Proof(
        weights=loaded.replica.fingerprint(),
        architecture=loaded.replica.architecture(),
        num_parameters=loaded.replica.num_parameters,
        data=loaded.task.fingerprint(),
        code=code_fingerprint(config),
        config=config_fingerprint(config),
    )


def config_fingerprint(config: RunConfig) -> str:
    """SHA-256 (hex) of the configuration without what a host may say differently; keys sorted, floats bit by bit."""
    return hashlib.sha256(msgspec.msgpack.encode(without_host_keys(config), order="sorted")).hexdigest()


def code_fingerprint(config: RunConfig) -> str:
    """SHA-256 (hex) of the toolkit's sources, and of those of the outside packages whose parts the experiment names.

    Other plug-ins that happen to be installed are not in it. Sources are read once in a process: what is edited later
    is not what runs here.
    """
    digest = hashlib.sha256()
    for name in PACKAGES:
        digest.update(_package_digest(name))
    for module in sorted({cls.__module__ for cls in _parts(config)}):
        if module.partition(".")[0] not in PACKAGES:
            digest.update(_outside_digest(module))
    return digest.hexdigest()


def toolkit_fingerprint() -> str:
    """SHA-256 (hex) of the toolkit's own sources alone: all that a host can say before it knows the experiment."""
    digest = hashlib.sha256()
    for name in PACKAGES:
        digest.update(_package_digest(name))
    return digest.hexdigest()


def _parts(config: RunConfig) -> list[type]:
    """The classes that the experiment and the rig name."""
    experiment = config.experiment
    plugins.look_for("scheme", experiment.scheme.name)
    plugins.look_for("task", experiment.task.template)
    return [
        type(part)
        for part in (
            backend_of(config.rig),
            scheme(experiment.scheme.name),
            schedule(experiment.schedule.name),
            optimiser(experiment.update.optimiser),
            template(experiment.task.template),
        )
    ]


@cache
def _package_digest(name: str) -> bytes:
    """Of one of the toolkit's own packages."""
    folders = list(getattr(sys.modules.get(name) or __import__(name), "__path__", []))
    return sources_digest(name, folders)


@cache
def _outside_digest(module: str) -> bytes:
    """Of the package that a module from outside is in, or of the module alone.

    A class without a file, as of a notebook, is known to its own process alone: its digest is no other process's.
    """
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        loaded = sys.modules.get(name)
        file = getattr(loaded, "__file__", None)
        if file is None:
            continue  # a namespace, of which others may hold a part
        if hasattr(loaded, "__path__"):
            return sources_digest(name, [Path(file).parent])
        if Path(file).is_file():
            return _digest_of([(f"{name}.py", Path(file))])
    return hashlib.sha256(_THIS_PROCESS + module.encode()).digest()


def sources_digest(name: str, folders: Iterable[str | Path]) -> bytes:
    """Over all Python sources below these folders of one package, in the order of their paths in it.

    Raises TestbedError if there is none, as of an installation of bytecode alone.
    """
    files = [
        (f"{name}/{path.relative_to(folder).as_posix()}", path)
        for folder in map(Path, folders)
        for path in folder.rglob("*.py")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not files:
        raise TestbedError(
            f"package {name}: no sources in {', '.join(map(str, folders)) or 'any folder'}; a host must show that it "
            "runs the same code; install the toolkit with its sources"
        )
    return _digest_of(sorted(files))


def _digest_of(files: Iterable[tuple[str, Path]]) -> bytes:
    digest = hashlib.sha256()
    for name, path in files:
        try:
            source = path.read_bytes().replace(b"\r\n", b"\n")  # as Python reads it
        except OSError as err:
            raise TestbedError(
                f"{path}: cannot be read ({err.strerror}), and a host must show that it runs the same code; "
                "make the sources readable"
            ) from err
        digest.update(f"{len(name.encode())} {name} {len(source)} ".encode())
        digest.update(source)
    return digest.digest()
