"""Doctor's findings as one picture: the silent band, and every device's link."""

from __future__ import annotations

from matplotlib.figure import Figure

from testbed.bench.findings import Findings, SpectrumFinding
from testbed.results.plots import BLUE, GREY, ORANGE, figure_of


def picture_of(findings: Findings) -> Figure | None:
    """None where nothing was measured."""
    spectrum, links = findings.spectrum, [link for link in findings.links if link.tone_snr_db is not None]
    measured = spectrum if spectrum is not None and spectrum.frequencies_hz else None
    rows = (measured is not None) + 2 * bool(links)
    if rows == 0:
        return None
    figure, axes = figure_of(rows, height_in=1.0 + 2.4 * rows)
    if measured is not None:
        _draw_spectrum(axes.pop(0), measured)
    if links:
        names = [str(link.device) for link in links]
        top, bottom = axes
        top.bar(names, [link.tone_snr_db or 0.0 for link in links], color=BLUE, width=0.6)
        top.set(ylabel="tone's bin / noise, dB", title="From each device to the access point")
        bottom.bar(names, [link.corrected_cfo_hz or 0.0 for link in links], color=ORANGE, width=0.6)
        bottom.axhline(0.0, color=GREY, linewidth=0.8)
        bottom.set(xlabel="device", ylabel="carrier offset, Hz", title="Carrier offset after correction")
    return figure


def _draw_spectrum(axis, spectrum: SpectrumFinding) -> None:  # type: ignore[no-untyped-def]
    megahertz = [frequency_hz / 1e6 for frequency_hz in spectrum.frequencies_hz]
    axis.plot(megahertz, spectrum.power_dbfs, color=BLUE, linewidth=0.8)
    if spectrum.noise_dbfs is not None:
        axis.axhline(spectrum.noise_dbfs, color=GREY, linewidth=0.8, linestyle="--", label="noise of a bin")
    for number, line in enumerate(spectrum.lines):
        label = "somebody else" if number == 0 else None
        half = max(line.width_hz, 2e-3 * (spectrum.frequencies_hz[-1] - spectrum.frequencies_hz[0])) / 2e6
        middle = line.frequency_hz / 1e6
        axis.axvspan(middle - half, middle + half, color=ORANGE, alpha=0.3, label=label)
    axis.set(xlabel="MHz", ylabel="dBFS", title="What the access point hears while the rig is silent")
    axis.ticklabel_format(axis="x", useOffset=False)
    axis.legend(loc="upper right", frameon=False)
