"""Keys: files that nobody else reads, made once however many ask at once; who may serve which devices."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from testbed.config.schema import HostConfig, Rig
from testbed.control import keys
from testbed.errors import ConfigError, TransportError

A, B, C = ("a" * 40, "b" * 40, "c" * 40)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRZERO_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


def test_files_are_for_their_owner_alone_whatever_the_umask(folder):
    before = os.umask(0)
    try:
        keys.create(keys.ACCESS_POINT)
        keys.make_device("gpu1", A)
        keys.local_pair()
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "access-point.json": 0o600,
        "device-gpu1.json": 0o600,
        "local.json": 0o600,
    }


def test_a_secret_that_others_can_read_is_refused(folder):
    keys.local_pair()
    (folder / "local.json").chmod(0o640)
    with pytest.raises(TransportError, match="chmod 600"):
        keys.local_pair()


def test_a_folder_that_others_can_write_to_is_refused(folder):
    keys.local_pair()
    folder.chmod(0o770)
    with pytest.raises(TransportError, match="chmod 700"):
        keys.local_pair()


def test_no_key_is_kept_in_a_run_directory(tmp_path, monkeypatch):
    (tmp_path / "journal.bin").touch()
    monkeypatch.setenv("AIRZERO_KEYS", str(tmp_path / "deep" / "keys"))
    with pytest.raises(TransportError, match="run directory"):
        keys.local_pair()
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"AIRZERO_KEYS": "a", "XDG_CONFIG_HOME": "b"}, "a"),
        ({"XDG_CONFIG_HOME": "b"}, "b/airzero/keys"),
        ({}, ".config/airzero/keys"),
    ],
)
def test_where_keys_are(tmp_path, monkeypatch, given, expected):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AIRZERO_KEYS", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    assert keys.folder() == tmp_path / expected


def test_a_link_or_a_damaged_file_is_no_key_and_nothing_of_it_is_said(folder):
    made = keys.create(keys.LOCAL)
    path = folder / "local.json"
    other = keys.create(keys.ACCESS_POINT)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(made, public=other.public)))
    with pytest.raises(TransportError, match="no pair") as err:
        keys.load(keys.LOCAL)
    assert made.secret not in str(err.value)
    path.write_text("{" + made.secret)
    with pytest.raises(TransportError, match="no pair") as err:
        keys.load(keys.LOCAL)
    assert made.secret not in str(err.value)
    path.unlink()
    path.symlink_to(folder / "access-point.json")
    with pytest.raises(TransportError, match="cannot be read"):
        keys.load(keys.LOCAL)


def test_a_pair_prints_no_secret(folder):
    pair = keys.local_pair()
    assert pair.secret not in repr(pair)
    assert pair.secret not in repr(keys.Credentials(pair, A))


def test_threads_and_processes_that_start_at_once_have_the_same_local_key(folder):
    program = "from testbed.control import keys; print(keys.local_pair().public)"

    def first_use(index):
        if index % 4:
            return keys.local_pair().public
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.strip()

    with ThreadPoolExecutor(12) as pool:
        assert len(set(pool.map(first_use, range(12)))) == 1
    assert [path.name for path in folder.iterdir()] == ["local.json"]


def test_an_access_points_keys_are_never_replaced_and_a_hosts_only_learn_whom_to_talk_to(folder):
    first = keys.create(keys.ACCESS_POINT)
    with pytest.raises(FileExistsError):
        keys.create(keys.ACCESS_POINT)
    assert keys.load(keys.ACCESS_POINT) == first
    host = keys.make_device("gpu1", None)
    again = keys.make_device("gpu1", first.public)
    assert (again.pair, again.access_point) == (host.pair, first.public)
    assert keys.make_device("gpu1", None) == again


def test_which_keys_a_client_uses(folder, monkeypatch, tmp_path):
    local = keys.local_pair()
    assert keys.credentials("ipc:///x") is None
    assert keys.credentials("tcp://127.0.0.1:1") == keys.Credentials(local, local.public)
    with pytest.raises(TransportError, match="testbed keys device"):
        keys.credentials("tcp://192.0.2.1:1")
    one = keys.make_device("one", A)
    assert keys.credentials("tcp://192.0.2.1:1") == keys.Credentials(one.pair, A)
    two = keys.make_device("two", B)
    with pytest.raises(TransportError, match="one, two; say which with --as"):
        keys.credentials("tcp://192.0.2.1:1")
    assert keys.credentials("tcp://192.0.2.1:1", "two") == keys.Credentials(two.pair, B)
    with pytest.raises(TransportError, match="--as"):
        keys.credentials("tcp://192.0.2.1:1", "three")
    access_point = keys.create(keys.ACCESS_POINT)
    for address in ("tcp://127.0.0.1:1", "tcp://192.0.2.1:1"):
        assert keys.credentials(address) == keys.Credentials(local, access_point.public)


def test_which_keys_a_server_uses(folder):
    assert keys.server_pair("ipc:///x") is None
    assert keys.server_pair("tcp://127.0.0.1:1") == keys.local_pair()
    with pytest.raises(TransportError, match="testbed keys init"):
        keys.server_pair("tcp://0.0.0.0:1")
    made = keys.create(keys.ACCESS_POINT)
    assert keys.server_pair("tcp://0.0.0.0:1") == keys.server_pair("tcp://127.0.0.1:1") == made.pair


def test_who_may_serve_what():
    rig = Rig(num_devices=4, hosts={"one": HostConfig(key=A, devices=(0, 1)), "two": HostConfig(key=B, devices=(1, 3))})
    assert keys.may_serve(rig, A, local_key=C) == {0, 1}
    assert keys.may_serve(rig, B, local_key=C) == {1, 3}
    assert keys.may_serve(rig, "d" * 40, local_key=C) == frozenset()
    assert keys.may_serve(rig, C, local_key=C) is None
    assert keys.may_serve(rig, "", local_key=C) is None


@pytest.mark.parametrize(
    ("hosts", "text"),
    [
        ({"one": {"key": A, "devices": [4]}}, "hosts.one.devices"),
        ({"one": {"key": A, "devices": []}}, "devices"),
        ({"one": {"key": A[:-1], "devices": [0]}}, "key"),
        ({"one": {"key": "~" * 40, "devices": [0]}}, "key"),
        ({"a b": {"key": A, "devices": [0]}}, "hosts"),
        ({"one": {"key": A, "devices": [0]}, "two": {"key": A, "devices": [1]}}, "is that of one, too"),
    ],
)
def test_hosts_of_a_rig_are_checked(hosts, text):
    with pytest.raises((ConfigError, msgspec.ValidationError), match=text):
        msgspec.convert({"num_devices": 4, "hosts": hosts}, Rig)
