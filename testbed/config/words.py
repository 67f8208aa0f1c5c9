"""Words that configuration, accounting and schedules share; nothing here is slow to import."""

from __future__ import annotations

from typing import Literal, TypeAlias

Level: TypeAlias = Literal["client", "example"]
"""Whether neighbouring data sets differ in a whole client or in one training example."""
Adjacency: TypeAlias = Literal["replace", "remove"]
"""Whether they differ by an exchange, or by one that is left out (which includes: added)."""
AccountantName: TypeAlias = Literal["exact", "zcdp", "paper", "rdp", "pld"]
