"""Columns, what is counted on the way, and fewer points that show the same."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.dashboard.columns import MAX_SYMBOLS, Columns, devices_named
from testbed.dashboard.decimation import decimated
from testbed.dashboard.seen import LaboratoryRound, PublicRound, Reader
from testbed.results.records import RoundRecord
from tests.testbed.dashboard.conftest import line, round_of


def columns_of(records, *, private=False):
    columns = Columns(private=private)
    columns.add(Reader(private=private).read(b"".join(map(line, records))))
    return columns


def test_what_is_read_of_a_round_has_the_names_and_types_that_are_written():
    written = {field.name: field.type for field in msgspec.structs.fields(RoundRecord)}
    for field in msgspec.structs.fields(LaboratoryRound):
        assert field.name in written
        if field.name not in ("received", "status"):  # not decoded; one of a few words
            value = written[field.name]
            assert field.type in (value, value | None), field.name


def test_a_private_run_is_read_without_anything_that_follows_from_training_data():
    secret = {"loss", "nmse_db", "received", "true_mean", "estimate", "validation_loss", "validation_metric"}
    secret |= {"learner_s", "wall_s", "predicted_error_std"}
    assert not secret & set(PublicRound.__struct_fields__)
    columns = columns_of([round_of(0, nmse_db=-3.0, received=((1.0, 2.0),), metric=0.5)], private=True)
    assert set(columns.latest) == {
        "round",
        "metric",
        "gain",
        "gain_db",
        "airtime_s",
        "radio_s",
        "control_s",
        "rho_total",
    }
    assert columns.newest_symbols(10) == []


def test_columns_are_those_of_the_records():
    records = [round_of(t, nmse_db=-30.0 - t if t % 2 else None, rho_spent=0.5, radio_s=0.25) for t in range(3000)]
    columns = Columns(private=False)
    reader = Reader(private=False)
    for begin in range(0, 3000, 7):
        columns.add(reader.read(b"".join(map(line, records[begin : begin + 7]))))
    assert columns.size == 3000
    np.testing.assert_array_equal(columns.column("loss"), [record.loss for record in records])
    assert math.isnan(columns.column("nmse_db")[0])
    assert columns.latest["nmse_db"].value == -30.0 - 2999
    assert columns.latest["nmse_db"].round == 3000
    assert columns.rho_total == pytest.approx(1500)
    assert columns.totals["radio_s"] == pytest.approx(750)
    assert columns.column("gain_db")[5] == pytest.approx(-40)
    assert columns.medians()["nmse_db"] == pytest.approx(np.median([-30.0 - t for t in range(1, 3000, 2)]))


def test_silent_rounds_have_no_gain_in_decibels():
    assert math.isnan(columns_of([round_of(0, gain=0.0, status="silent")]).column("gain_db")[0])


def test_lines_that_are_no_rounds_are_counted_and_left_out():
    reader = Reader(private=False)
    found = reader.read(line(round_of(0)) + b'{"round": "x"}\n\xff\xfe\n[]\n' + line(round_of(1)))
    assert [each.round for each in found] == [0, 1]
    assert reader.num_unreadable == 3


def test_devices_that_reasons_name_are_counted():
    records = [
        round_of(0, status="retried", reason="device 3: its pilot was not heard"),
        round_of(1, status="skipped", reason="devices 0-2, 7 have no host, and none came in 30 s"),
        round_of(2, status="rejected", reason="device 3: turned by 80°; sound more often"),
        round_of(3, absent=(1, 4)),
        round_of(4, status="silent", reason="silent: no device is strong enough"),
    ]
    columns = columns_of(records)
    assert dict(columns.retried) == {3: 1}
    assert dict(columns.rejected) == {0: 1, 1: 1, 2: 1, 7: 1, 3: 1}
    assert dict(columns.missing) == {1: 1, 4: 1}
    assert columns.counts == {"retried": 1, "skipped": 1, "rejected": 1, "ok": 1, "silent": 1}
    assert columns.last_reason == (5, "silent: no device is strong enough")
    assert devices_named("device 1 and devices 0-99999999 of 12 devices") == {1}


def test_of_many_symbols_the_newest_are_kept():
    columns = columns_of([round_of(t, received=((t, 1.0), (t, -1.0))) for t in range(MAX_SYMBOLS)])
    assert columns.num_symbols == 2 * MAX_SYMBOLS
    assert columns.newest_symbols(3) == [(MAX_SYMBOLS - 2, -1.0), (MAX_SYMBOLS - 1, 1.0), (MAX_SYMBOLS - 1, -1.0)]
    assert len(columns.newest_symbols(10**9)) == MAX_SYMBOLS


known = st.one_of(st.just(math.nan), st.floats(-1e6, 1e6))


@given(st.lists(st.tuples(known, known), min_size=1, max_size=300), st.integers(min_value=4, max_value=80))
def test_fewer_points_keep_the_smallest_and_the_largest_of_every_stretch(rows, max_points):
    columns = np.array(rows)
    x = np.arange(len(rows), dtype=float)
    fewer, points = decimated(x, columns, max_points)
    assert fewer.size == len(points) <= max_points + 1
    assert np.all(np.diff(fewer) >= 0)
    assert set(fewer.tolist()) <= set(x.tolist())
    for place in range(2):
        before, after = columns[:, place], points[:, place]
        if np.isnan(before).all():
            assert np.isnan(after).all()
        else:
            assert np.nanmin(after) == np.nanmin(before)
            assert np.nanmax(after) == np.nanmax(before)
            assert set(after[~np.isnan(after)].tolist()) <= set(before[~np.isnan(before)].tolist())


def test_a_spike_among_a_hundred_thousand_rounds_is_seen():
    values = np.zeros((100_000, 1))
    values[77_777] = 9.0
    x, points = decimated(np.arange(100_000.0), values, 1600)
    where = int(np.nanargmax(points))
    assert np.nanmax(points) == 9.0
    assert abs(x[where] - 77_777) < 126
