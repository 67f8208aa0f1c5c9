"""What a host proves before it may take part: that it computes the same run as the access point, by content.

Made by testbed/hosts/proof.py; a host's travels in `Joined`, and the access point compares it with its own.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from testbed.config.words import HOST_KEYS
from testbed.errors import TransportError

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""SHA-256, in hex."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHOWN = 12


class Proof(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """Digests of all that decides a run; equal wherever files lie and whatever device or threads compute."""

    weights: Digest
    """The weights before any update, `Replica.fingerprint`."""
    architecture: Digest
    """What turns weights into outputs, `Replica.architecture`."""
    num_parameters: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    """Trained weights."""
    data: Digest
    """What is drawn from and judged by, `Task.fingerprint`."""
    code: Digest
    """The sources of the toolkit, and of the parts from outside that the experiment names."""
    config: Digest
    """The whole configuration without what hosts may override (`HOST_KEYS`)."""


_REMEDIES = {
    "code": "install the same version of the toolkit, and of any plug-in, on both, and start both again",
    "config": f"leave out overrides on the host but for {', '.join(HOST_KEYS)}; set all else at the access point",
    "weights": "give both the same checkpoint (model.path), with nothing learnt on top of it",
    "architecture": "give both the same checkpoint, config.json and generation_config.json too (model.path)",
    "data": "give both the same data files (task.path) and the same tokenizer (model.path)",
}
"""What to do, most telling first: another configuration alone can bring other weights and data."""


def difference(expected: Proof, got: Proof) -> str | None:
    """What differs, whose is what, and what to do, in one line; None if nothing does.

    ``expected`` is the access point's. Raises TransportError for what is no proof.
    """
    for whose, proof in (("the access point's", expected), ("the host's", got)):
        _check(whose, proof)
    found = []
    for kind, remedy in _REMEDIES.items():
        ours, theirs = getattr(expected, kind), getattr(got, kind)
        if ours != theirs:
            found.append(f"{kind}: the host has {theirs[:_SHOWN]}, the access point {ours[:_SHOWN]}; {remedy}")
    if expected.num_parameters != got.num_parameters:
        found.append(
            f"num_parameters: the host trains {got.num_parameters:,}, the access point {expected.num_parameters:,}; "
            "give both the same model (model.path, model.lora)"
        )
    return "; ".join(found) or None


def _check(whose: str, proof: Proof) -> None:
    for kind in _REMEDIES:
        digest = getattr(proof, kind)
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise TransportError(
                f"{whose} proof of {kind}: got {str(digest)[:80]!r}; allowed: 64 small hexadecimal digits; "
                "install the same version of the toolkit on both"
            )
    if type(proof.num_parameters) is not int or proof.num_parameters < 0:
        raise TransportError(
            f"{whose} proof: got num_parameters = {str(proof.num_parameters)[:80]}; allowed: 0 or more; "
            "install the same version of the toolkit on both"
        )
