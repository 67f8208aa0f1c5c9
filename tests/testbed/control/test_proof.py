"""Two proofs are compared in one line, and what is no proof is refused."""

import msgspec
import pytest

from testbed.control.proof import Proof, difference
from testbed.errors import TransportError

KINDS = ("weights", "architecture", "data", "code", "config")
MINE = Proof(num_parameters=7, **{kind: digit * 64 for kind, digit in zip(KINDS, "a1bcd", strict=True)})


def changed(**values: object) -> Proof:
    return msgspec.structs.replace(MINE, **values)


def test_equal_proofs_do_not_differ():
    assert difference(MINE, changed()) is None


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("weights", "model.path"),
        ("data", "task.path"),
        ("code", "same version"),
        ("architecture", "config.json"),
        ("config", "leave out overrides"),
    ],
)
def test_each_kind_is_named_with_whose_is_what_and_what_to_do(kind, remedy):
    told = difference(MINE, changed(**{kind: "e" * 64}))
    assert told is not None
    assert told.startswith(f"{kind}: the host has eeeeeeeeeeee, the access point {getattr(MINE, kind)[:12]}; ")
    assert remedy in told
    assert "\n" not in told
    assert sum(f"{each}: the host" in told for each in KINDS) == 1


def test_all_that_differs_is_named_and_the_number_of_weights_too():
    told = difference(MINE, changed(weights="e" * 64, data="f" * 64, num_parameters=8))
    assert told is not None
    for part in ("weights: the host", "data: the host", "num_parameters: the host trains 8, the access point 7"):
        assert part in told


@pytest.mark.parametrize("bad", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "١" * 64, None, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_digest_is_refused_on_the_wire_and_in_the_comparison(kind, bad):
    malformed = changed(**{kind: bad})
    with pytest.raises(TransportError, match=f"the host's proof of {kind}: got .*; allowed: 64 small hexadecimal"):
        difference(MINE, malformed)
    with pytest.raises(TransportError, match=f"the access point's proof of {kind}"):
        difference(malformed, MINE)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(malformed), type=Proof)


@pytest.mark.parametrize("bad", [-1, 1.0, True, None])
def test_a_number_of_weights_that_is_none_is_refused(bad):
    with pytest.raises(TransportError, match="num_parameters"):
        difference(MINE, changed(num_parameters=bad))


def test_it_travels_as_an_array_of_exactly_its_fields():
    wire = msgspec.msgpack.encode(MINE)
    assert msgspec.msgpack.decode(wire, type=Proof) == MINE
    values = msgspec.msgpack.decode(wire)
    assert isinstance(values, list)
    for wrong in (values[:-1], [*values, 1]):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(wrong), type=Proof)
