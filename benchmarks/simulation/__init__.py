"""Whole runs on a virtual clock, network and disk, under faults: real access point, hosts, air, journal and ledger."""
