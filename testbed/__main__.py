"""``python -m testbed`` is the ``testbed`` command."""

from testbed.commands.cli import main

main()
