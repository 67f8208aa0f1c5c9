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


def verdict(statement: str) -> str:
    """What a privacy statement opens with; other words where it is none of both."""
    opening = statement.partition(":")[0].partition(" ")[0]
    return opening if opening in ("VALID", "VOID") else "nothing was claimed"


def privacy_words(summary: Summary) -> str:
    """The verdict, and what was spent or would have been."""
    opening = verdict(summary.privacy)
    if summary.epsilon_spent is None:
        return opening
    spent = f"ε = {summary.epsilon_spent:.3g} at δ = {summary.dp_delta:g}"
    return f"VALID: {spent} spent" if opening == "VALID" else f"{opening}: it would be {spent}"


def difference_words(differs: Iterable[str], *, num: int = 12) -> str:
    """The keys that tell a run apart, the first of many."""
    known = list(differs)
    if not known:
        return "nothing"
    more = f" and {len(known) - num} more (config.toml)" if len(known) > num else ""
    return ", ".join(known[:num]) + more
