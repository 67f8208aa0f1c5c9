"""How devices, metrics, and what was seen of hosts are put into words."""

from __future__ import annotations

from collections.abc import Iterable

from testbed.results.records import RunInfo, Summary

INTERRUPTED = "interrupted"
"""Why a run ended that the user stopped."""


def is_share(metric_name: str) -> bool:
    """Whether a metric lies between 0 and 1; all do but the perplexity."""
    return metric_name != "perplexity"


def metric_label(metric_name: str) -> str:
    """A metric in words: "exact match"."""
    return metric_name.replace("_", " ")


def metric_value(metric_name: str, value: float | None) -> str:
    """A metric's value with its unit."""
    if value is None:
        return "not known"
    return f"{100 * value:.1f} %" if is_share(metric_name) else f"{value:.2f}"


def ranges(devices: Iterable[int], separator: str = ", ") -> str:
    """Devices as numbers and ranges: "0-4, 7"."""
    ordered = sorted(set(devices))
    runs: list[list[int]] = []
    for device in ordered:
        if runs and runs[-1][-1] == device - 1:
            runs[-1].append(device)
        else:
            runs.append([device])
    return separator.join(f"{run[0]}-{run[-1]}" if len(run) > 2 else separator.join(map(str, run)) for run in runs)


def listed(devices: Iterable[int]) -> str:
    """Devices in words: "device 3", "devices 0-4, 7"."""
    known = set(devices)
    return f"device{'s' if len(known) != 1 else ''} {ranges(known) or 'none'}"


def verified_words(seen: Summary | RunInfo) -> str:
    """What was seen of the hosts' weights at the end."""
    if seen.verified_devices is None:
        return "whether hosts' weights were compared with the journal's was not recorded"
    if not seen.verified_devices:
        return (
            f"the journal's; no host's were compared with them and found the same ({seen.not_verified or 'no reason'})"
        )
    whose = listed(seen.verified_devices) if seen.not_verified else "all devices"
    words = f"verified for {whose}: live and from the journal, bit for bit the same"
    return f"{words}; not verified for {seen.not_verified}" if seen.not_verified else words
