"""What a PlutoSDR says it consists of: devices, channels and attributes as tables, and the XML that libiio reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

PHY, XADC, TX, RX = "iio:device0", "iio:device1", "iio:device2", "iio:device3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel; `files` maps an attribute's name to the file that holds it, which channels may share."""

    id: str
    output: bool
    files: Mapping[str, str]
    name: str = ""
    scan_index: int | None = None
    scan_format: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device and the names of its own attributes."""

    id: str
    name: str
    channels: tuple[Channel, ...]
    attributes: tuple[str, ...] = ()
    buffer_attributes: tuple[str, ...] = ()
    debug_attributes: tuple[str, ...] = ()


def _channel(
    id: str, output: bool, own: str = "", shared: str = "", *, name: str = "", index: int | None = None, form: str = ""
) -> Channel:
    """Attributes of the channel's own, and those that it shares with all of its kind."""
    direction = "out" if output else "in"
    kind = id.rstrip("0123456789")
    label = f"{direction}_{id}_{name}" if name else f"{direction}_{id}"
    files = {attribute: f"{label}_{attribute}" for attribute in own.split()}
    files |= {attribute: f"{direction}_{kind}_{attribute}" for attribute in shared.split()}
    return Channel(id=id, output=output, files=files, name=name, scan_index=index, scan_format=form)


_SYNTHESISER = (
    "external fastlock_load fastlock_recall fastlock_save fastlock_store frequency frequency_available powerdown"
)
_RX_SHARED = (
    "bb_dc_offset_tracking_en filter_fir_en gain_control_mode_available quadrature_tracking_en rf_bandwidth "
    "rf_bandwidth_available rf_dc_offset_tracking_en rf_port_select_available sampling_frequency "
    "sampling_frequency_available"
)
_TX_SHARED = (
    "filter_fir_en rf_bandwidth rf_bandwidth_available rf_port_select_available sampling_frequency "
    "sampling_frequency_available"
)
_RATES = "sampling_frequency sampling_frequency_available"
TONES = {0: "TX1_I_F1", 1: "TX1_I_F2", 2: "TX1_Q_F1", 3: "TX1_Q_F2"}
_SUPPLIES = ("vccint", "vccaux", "vccbram", "vccpint", "vccpaux", "vccoddr", "vrefp", "vrefn")
_BUFFER = ("data_available", "length_align_bytes", "watermark")

DEVICES = (
    Device(
        id=PHY,
        name="ad9361-phy",
        channels=(
            _channel("altvoltage1", True, _SYNTHESISER, name="TX_LO"),
            _channel(
                "voltage0", False, "gain_control_mode hardwaregain hardwaregain_available rf_port_select rssi",
                _RX_SHARED,
            ),
            _channel("voltage3", True, "raw scale", _TX_SHARED),
            _channel("altvoltage0", True, _SYNTHESISER, name="RX_LO"),
            _channel("voltage2", True, "raw scale", _TX_SHARED),
            _channel("temp0", False, "input"),
            _channel("voltage0", True, "hardwaregain hardwaregain_available rf_port_select rssi", _TX_SHARED),
            _channel("voltage2", False, "offset raw scale", _RX_SHARED),
            Channel(id="out", output=False, files={"voltage_filter_fir_en": "in_out_voltage_filter_fir_en"}),
        ),
        attributes=(
            "calib_mode", "calib_mode_available", "dcxo_tune_coarse", "dcxo_tune_coarse_available", "dcxo_tune_fine",
            "dcxo_tune_fine_available", "ensm_mode", "ensm_mode_available", "filter_fir_config", "gain_table_config",
            "multichip_sync", "rssi_gain_step_error", "rx_path_rates", "trx_rate_governor",
            "trx_rate_governor_available", "tx_path_rates", "xo_correction", "xo_correction_available",
        ),
        debug_attributes=(
            "digital_tune", "calibration_switch_control", "multichip_sync", "gaininfo_rx2", "gaininfo_rx1",
            "bist_timing_analysis", "gpo_set", "bist_tone", "bist_prbs", "loopback", "initialize",
            "direct_reg_access",
        ),
    ),
    Device(
        id=XADC,
        name="xadc",
        channels=(
            *(_channel(f"voltage{i}", False, "raw scale", name=name) for i, name in enumerate(_SUPPLIES)),
            _channel("voltage8", False, "raw scale"),
            _channel("temp0", False, "offset raw scale"),
        ),
        attributes=("sampling_frequency",),
    ),
    Device(
        id=TX,
        name="cf-ad9361-dds-core-lpc",
        channels=(
            *(_channel(f"voltage{i}", True, "calibphase calibscale", _RATES, index=i, form="le:S16/16>>0")
              for i in range(2)),
            *(_channel(f"altvoltage{i}", True, "frequency phase raw scale", "sampling_frequency", name=name)
              for i, name in TONES.items()),
        ),
        buffer_attributes=_BUFFER,
        debug_attributes=("direct_reg_access",),
    ),
    Device(
        id=RX,
        name="cf-ad9361-lpc",
        channels=tuple(
            _channel(f"voltage{i}", False, "calibbias calibphase calibscale", f"samples_pps {_RATES}",
                     index=i, form="le:S12/16>>0")
            for i in range(2)
        ),
        buffer_attributes=_BUFFER,
        debug_attributes=("pseudorandom_err_check", "direct_reg_access"),
    ),
)  # fmt: skip

_EMPTY = "context-attribute attribute scan-element debug-attribute buffer-attribute"
_REQUIRED = {
    "context": ("name", "description"), "context-attribute": ("name", "value"), "device": ("id", "name"),
    "channel": ("id", "type"), "scan-element": ("index", "format"), "attribute": ("name", "filename?", "value"),
    "debug-attribute": ("name", "value"), "buffer-attribute": ("name", "value"),
}  # fmt: skip


def _document_type() -> str:
    """libiio validates what it reads."""
    elements = "".join(f"<!ELEMENT {tag} EMPTY>" for tag in _EMPTY.split())
    elements += "".join(f"<!ELEMENT {tag} ANY>" for tag in ("context", "device", "channel"))
    attributes = "".join(
        f"<!ATTLIST {tag} {name.rstrip('?')} CDATA {'#IMPLIED' if name.endswith('?') else '#REQUIRED'}>"
        for tag, names in _REQUIRED.items()
        for name in names
    )
    return f"<!DOCTYPE context [{elements}{attributes}<!ATTLIST channel name CDATA #IMPLIED>]>"


Key = tuple[str, str]
"""Device id, and the file that holds a value: `buffer/` and `debug/` in front of those kinds."""


def all_keys() -> set[Key]:
    """Every file of every device."""
    keys = {(device.id, file) for device in DEVICES for channel in device.channels for file in channel.files.values()}
    for device in DEVICES:
        keys |= {(device.id, name) for name in device.attributes}
        keys |= {(device.id, f"buffer/{name}") for name in device.buffer_attributes}
        keys |= {(device.id, f"debug/{name}") for name in device.debug_attributes}
    return keys


def find_device(name_or_id: str) -> Device | None:
    """By id or by name."""
    return next((device for device in DEVICES if name_or_id in (device.id, device.name)), None)


def find_channel(device: Device, name_or_id: str, *, output: bool) -> Channel | None:
    """By id or by name, of one direction."""
    matches = (c for c in device.channels if c.output == output and name_or_id in (c.id, c.name) and name_or_id)
    return next(matches, None)


def context_xml(attributes: Mapping[str, str], read: Callable[[Key], str]) -> str:
    """The context with every value as it is now; `read` gives a value, or ERROR."""

    def element(tag: str, **values: str) -> str:
        return f"<{tag} {' '.join(f'{name}={quoteattr(text)}' for name, text in values.items())} />"

    parts = [
        '<?xml version="1.0" encoding="utf-8"?>',
        _document_type(),
        '<context name="network" description="virtual PlutoSDR">',
    ]
    parts += [element("context-attribute", name=name, value=value) for name, value in attributes.items()]
    for device in DEVICES:
        parts.append(f'<device id="{device.id}" name="{device.name}" >')
        for channel in device.channels:
            name = f'name="{channel.name}" ' if channel.name else ""
            parts.append(f'<channel id="{channel.id}" {name}type="{"output" if channel.output else "input"}" >')
            if channel.scan_index is not None:
                parts.append(element("scan-element", index=str(channel.scan_index), format=channel.scan_format))
            parts += [
                element("attribute", name=attribute, filename=file, value=read((device.id, file)))
                for attribute, file in channel.files.items()
            ]
            parts.append("</channel>")
        for tag, prefix, names in (
            ("attribute", "", device.attributes),
            ("buffer-attribute", "buffer/", device.buffer_attributes),
            ("debug-attribute", "debug/", device.debug_attributes),
        ):
            parts += [element(tag, name=name, value=read((device.id, prefix + name))) for name in names]
        parts.append("</device>")
    parts.append("</context>")
    return "".join(parts)
