"""What a run plans and promises, as JSON for the live page: `python -m testbed.commands.screen.planned FILE`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from testbed.bench.rig import resolve
from testbed.config.files import from_toml
from testbed.config.schema import RunConfig
from testbed.dashboard.messages import EPSILON, Planned
from testbed.errors import ConfigError
from testbed.failures import EXPECTED, in_one_line
from testbed.planning.preview import plan_of
from testbed.planning.terms import Terms, terms_of

_NICE = 10
"""A run that goes on beside it comes first."""
_STAND_IN = 7.77e77
"""No ε can be so large; where it is written, the ε goes."""


def planned_of(config: RunConfig) -> Planned:
    """The plan of a resolved configuration, with the claim as `Terms.statement` words it."""
    terms = terms_of(config)
    name = config.experiment.schedule.name
    try:
        preview = plan_of(config, others=()).preview(name)
    except (ConfigError, ValueError) as err:
        return Planned(schedule=name, no_plan=in_one_line(err), claim=_claim(terms), enforced=terms.enforced)
    return Planned(
        schedule=name,
        gains=preview.gains.tolist(),
        leaks=preview.leaks.tolist(),
        claim=_claim(terms),
        enforced=terms.enforced,
    )


def _claim(terms: Terms) -> str:
    return terms.statement(_STAND_IN).replace(f"{_STAND_IN:.3g}", EPSILON)


def main(path: str) -> None:
    """Print the plan of a run's config.toml."""
    os.nice(_NICE)
    try:
        planned = planned_of(resolve(from_toml(Path(path), leave_out_unknown=True)))
    except EXPECTED as err:
        planned = Planned(schedule="", no_plan=in_one_line(err))
    sys.stdout.write(msgspec.json.encode(planned).decode())


if __name__ == "__main__":
    main(sys.argv[1])
