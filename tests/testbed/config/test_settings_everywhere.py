"""Ranges, choices, lengths and types hold however a record is built: from TOML and in Python, in the same words."""

import math
from typing import get_origin

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radio.air.config import AirConfig
from radio.allowed import allowed, hints_of, record_of, refusal
from radio.backends.pluto.config import PlutoConfig, PlutoSettings
from radio.config import RadioConfig
from radio.errors import RadioConfigError
from radio.settings import Checked
from radio.virtual_pluto.config import Fault, VirtualConfig
from testbed.config.schema import Experiment, HostConfig, PrivacyConfig, Rig, RoundsConfig, RunConfig
from testbed.errors import ConfigError

REQUIRED = {
    Fault: {"kind": "busy", "command": "OPEN"},
    PlutoConfig: {"uri": "ip:127.0.0.1"},
    HostConfig: {"key": "k" * 40, "devices": (0,)},
}


def records_below(record):
    found = [record]
    for hint in hints_of(record).values():
        inner = record_of(hint)
        if inner is not None:
            found += records_below(inner)
    return found


RECORDS = [each for each in [*records_below(Rig), *records_below(Experiment), PlutoConfig] if issubclass(each, Checked)]
FIELDS = [(record, name) for record in RECORDS for name in record.__struct_fields__]
RANGED = [(record, name) for record, name in FIELDS if "number" in allowed(hints_of(record)[name])]
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.text(max_size=3), max_size=3)
    | st.dictionaries(st.sampled_from(["name", "level", "kind", "ppm_max"]), st.integers(-3, 3), max_size=2)
)


def in_python(record, table):
    try:
        return msgspec.to_builtins(record(**REQUIRED.get(record, {}) | table))
    except record.refuses_with as err:
        return str(err)


def from_toml(record, table):
    table = REQUIRED.get(record, {}) | table
    try:
        return msgspec.to_builtins(msgspec.convert(table, record))
    except msgspec.ValidationError as err:
        return str(refusal(err, table, record))


def same(left, right):
    return repr(left) == repr(right)


@settings(max_examples=400)
@given(field=st.sampled_from(FIELDS), value=ANYTHING)
def test_any_value_of_any_key_is_taken_or_refused_in_python_as_from_toml(field, value):
    record, name = field
    assert same(in_python(record, {name: value}), from_toml(record, {name: value}))


@given(data=st.data(), field=st.sampled_from(RANGED))
def test_a_number_out_of_its_range_is_refused_with_key_value_and_range(data, field):
    record, name = field
    metas = _metas(hints_of(record)[name])
    lows = [limit for meta in metas for limit in (meta.gt, meta.ge) if limit is not None]
    highs = [limit for meta in metas for limit in (meta.lt, meta.le) if limit is not None]
    outside = [math.nan, *(low - 1 for low in lows), *(high + 1 for high in highs)]
    outside += [limit for meta in metas for limit in (meta.gt, meta.lt) if limit is not None]
    value = data.draw(st.sampled_from(outside))
    message = in_python(record, {name: value})
    assert message.startswith(f"{name}: got {value!r}; allowed: a ")
    assert message == from_toml(record, {name: value})


def _metas(hint):
    inner = [hint, *getattr(hint, "__args__", ())]
    return [extra for each in inner for extra in getattr(each, "__metadata__", ()) if isinstance(extra, msgspec.Meta)]


def test_every_record_of_rig_and_radio_is_checked():
    unchecked = {each for each in records_below(RunConfig) if not issubclass(each, Checked)}
    assert {each.__module__ for each in unchecked} <= {"learner.config"}  # learner must not know radio's base


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PrivacyConfig(dp_epsilon=-3), "dp_epsilon: got -3; allowed: a number >= 0.0001"),
        (lambda: RoundsConfig(num=0), "num: got 0; allowed: a whole number >= 1"),
        (lambda: RoundsConfig(num=2.5), "num: got 2.5; allowed: a whole number >= 1"),
        (lambda: PlutoSettings(link_rate_max_hz=0.0), "link_rate_max_hz: got 0.0; allowed: a number > 0, or absent"),
        (lambda: PlutoSettings(devices=("usb:", 3)), r"devices\[1\]: got 3; allowed: text"),
        (lambda: PrivacyConfig(level="clent"), "level: got 'clent'; allowed: client, example; did you mean 'client'?"),
        (lambda: PrivacyConfig(accountant="rpd"), "accountant: got 'rpd'; allowed: exact, .*or absent; did you mean"),
        (lambda: Rig(radio=7), "radio: got 7; allowed: a section of sample_rate_hz, "),
        (lambda: Rig(radio={"tx_gain_db": 5.0}), "radio.tx_gain_db: got 5.0; allowed: a number >= -89.75 and <= 0"),
        (lambda: Rig(air={"csi": "genie"}), "air.csi: got 'genie' with level = 'sample'"),
        (lambda: Experiment(name="../x"), "name: got '../x'; allowed: 1 to 80 characters"),
    ],
)
def test_what_toml_may_not_say_python_may_not_say(build, message):
    with pytest.raises((ConfigError, RadioConfigError), match=message):
        build()


def test_a_nested_fault_is_named_by_its_place():
    with pytest.raises(
        RadioConfigError, match=r"faults\[1\]\.command: got 'OPE'; allowed: OPEN, .*did you mean 'OPEN'"
    ):
        VirtualConfig(faults=(Fault(kind="busy", command="OPEN"), {"kind": "busy", "command": "OPE"}))


def test_a_record_that_is_changed_is_checked_again():
    with pytest.raises(ConfigError, match="num: got 0"):
        msgspec.structs.replace(RoundsConfig(), num=0)


def test_values_are_kept_as_toml_would_give_them():
    radio = RadioConfig(tx_gain_db=np.float64(-3), rx_gain_db=np.int64(20))
    assert [type(radio.tx_gain_db), type(radio.rx_gain_db)] == [float, float]
    assert PlutoSettings(devices=["usb:1"]).devices == ("usb:1",)
    inner = AirConfig(snr_db=3)
    assert Rig(air=inner).air is inner
    assert get_origin(hints_of(PlutoSettings)["devices"]) is tuple


@pytest.mark.parametrize("name", ["a", "run 7", "naïve-run_2", "a[b]", "$x$", "x" * 80, "a.b"])
def test_names_that_can_be_folders(name):
    assert Experiment(name=name).name == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", " a", "x" * 81, "a\n", "a\x1b[2J", "a\0"]
)
def test_names_that_would_leave_the_runs_folder_or_the_line(name):
    with pytest.raises(ConfigError, match=r"name: got .*allowed: 1 to 80 characters"):
        Experiment(name=name)
