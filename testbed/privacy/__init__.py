"""What a run leaks, what (ε, δ) allows, and what may be claimed about it. Pure functions."""

from testbed.privacy.accountants import Accountant, accountant
from testbed.privacy.gaussian import leak
from testbed.privacy.neighbours import Neighbours

__all__ = ["Accountant", "Neighbours", "accountant", "leak"]
