"""Parts of benchmarks/ledger_faults.py: a disk with faults, runs to damage, damages, a judge, and real kills."""
