"""What a host says of itself when it joins, and how two such statements differ."""

from __future__ import annotations

from typing import Annotated

import msgspec

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Proof(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """Of everything that decides what a host computes: SHA-256, 64 hex digits each."""

    weights: Hash
    num_parameters: Annotated[int, msgspec.Meta(ge=1)]
    data: Hash
    code: Hash
    config: Hash
