"""Words that configuration, accounting and schedules share; nothing here is slow to import."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Level: TypeAlias = Literal["client", "example"]
"""Whether neighbouring data sets differ in a whole client or in one training example."""
Adjacency: TypeAlias = Literal["replace", "remove"]
"""Whether they differ by an exchange, or by one that is left out (which includes: added)."""
AccountantName: TypeAlias = Literal["exact", "zcdp", "paper", "rdp", "pld"]
Allocating: TypeAlias = Literal["joint", "bcd", "bandwidth", "pruning", "uniform", "equal"]
"""How first-order clients are given pruning rates and shares of the bandwidth (testbed/jcpba/methods.py)."""
ALLOCATING: tuple[Allocating, ...] = get_args(Allocating)
HOST_KEYS = (
    "model.path",
    "model.device",
    "task.path",
    "learner.num_threads",
    "pluto.access_point",
    "pluto.devices",
    "virtual.host",
    "virtual.first_port",
    "virtual.spread",
)
"""Where the model, the data and the radios are from here, and what computes. None of them decides a result: weights and
data are compared by content, the rest leaves every bit of an update alone."""
