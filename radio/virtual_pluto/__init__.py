"""Virtual PlutoSDRs behind the real IIOD protocol (docs/virtual_plutos.md)."""
