"""The last capture of a payload as one small file: who has it sees what the access point saw of a round.

Of a private run only what anybody knows how to send is in it: synchronisation, pilots, and the silence around them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from radio.samples import IQ
from radio.waveform.base import Part
from testbed.errors import RunDirectoryError
from testbed.results import files
from testbed.results.sigmf.meta import Count, PayloadKeys
from testbed.results.sigmf.reading import PayloadRecording, load_recording

NAME = "last_capture.msgpack"
MAX_SAMPLES = 1 << 16
"""Of a longer capture the beginning is kept."""
PUBLIC_PARTS = frozenset({"guard", "sync", "pilots", "gap", "tail"})
"""Which hold no value of any device."""


class PartKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`radio.waveform.base.Part`."""

    name: str
    first_sample: Count
    num_samples: Count
    is_public: bool = True
    """Whether its samples hold no value of any device."""


class LastCapture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A received payload, or of slots the first one, with what its receiver knew."""

    keys: PayloadKeys
    sample_rate_hz: float
    parts: tuple[PartKeys, ...]
    samples: bytes
    """Complex64, little-endian, full scale is 1; zeros where they are withheld."""
    withheld: tuple[tuple[Count, Count], ...] = ()
    """Where samples are kept back, as first and behind the last one."""
    num_captured: Count = 0
    """Samples that there were."""

    def iq(self) -> IQ:
        """The samples, shape [N]. Raises RunDirectoryError for what are none."""
        if len(self.samples) % 8 or len(self.samples) > 8 * MAX_SAMPLES:
            raise RunDirectoryError(
                f"{NAME}: got {len(self.samples)} bytes of samples; allowed: 8 for each of {MAX_SAMPLES} at most; "
                "wait for the next capture"
            )
        found: IQ = np.frombuffer(self.samples, dtype="<c8").astype(np.complex64)
        return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)


_DECODER = msgspec.msgpack.Decoder(LastCapture)


def last_capture(
    samples: IQ, keys: PayloadKeys, parts: Iterable[Part], *, sample_rate_hz: float, margin_samples: int, private: bool
) -> LastCapture:
    """The beginning of a capture, shape [N]; of a private run without what may hold values.

    `margin_samples` is how far a part's signal may reach into its neighbours, by delay or early arrival.
    """
    num_captured = samples.size
    kept = np.array(samples[:MAX_SAMPLES], dtype="<c8")
    marked = [
        PartKeys(
            name=part.name,
            first_sample=part.first_sample,
            num_samples=min(part.num_samples, kept.size - part.first_sample),
            is_public=part.name in PUBLIC_PARTS,
        )
        for part in parts
        if part.first_sample < kept.size
    ]
    withheld = _withheld(marked, kept.size, margin_samples) if private else ()
    for begin, end in withheld:
        kept[begin:end] = 0
    return LastCapture(
        keys=keys,
        sample_rate_hz=sample_rate_hz,
        parts=tuple(marked),
        samples=kept.tobytes(),
        withheld=withheld,
        num_captured=num_captured,
    )


def _withheld(parts: list[PartKeys], num_samples: int, margin_samples: int) -> tuple[tuple[int, int], ...]:
    """Everything but what lies within public parts, and not near any other."""
    known = np.zeros(num_samples, dtype=bool)
    for part in parts:
        if part.is_public:
            known[part.first_sample : part.first_sample + part.num_samples] = True
    for part in parts:
        if not part.is_public:
            end = part.first_sample + part.num_samples
            known[max(0, part.first_sample - margin_samples) : end + margin_samples] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~known, [False]]).astype(np.int8)))
    return tuple((int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2], strict=True))


def read_last(path: Path) -> LastCapture:
    """Raises RunDirectoryError for what `LiveCapture` did not write."""
    data = files.read(path, remedy="wait for the next capture")
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise RunDirectoryError(f"{path}: not a capture of this version ({err}); wait for the next one") from err


class _Annotation(msgspec.Struct, frozen=True, kw_only=True, rename=lambda name: f"core:{name}"):
    sample_start: Count
    sample_count: Count = 0
    label: str = ""


class _Annotated(msgspec.Struct, frozen=True):
    annotations: tuple[_Annotation, ...] = ()


def read_recorded(meta_path: Path, *, margin_samples: int, private: bool) -> LastCapture:
    """The same of a SigMF recording of a payload. Raises RunDirectoryError for anything else."""
    recording = load_recording(meta_path)
    if not isinstance(recording, PayloadRecording):
        raise RunDirectoryError(f"{meta_path}: got a probe; allowed: the payload of a round; leave it out")
    first = recording.captured[0]
    try:
        marked = msgspec.json.decode(files.read(meta_path, remedy="restore it from a copy"), type=_Annotated)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise RunDirectoryError(f"{meta_path}: annotations: {err}; restore it from a copy") from err
    return last_capture(
        first.samples,
        recording.keys,
        [
            Part(each.label, each.sample_start, each.sample_count)
            for each in marked.annotations
            if each.sample_start < first.samples.size
        ],
        sample_rate_hz=recording.sample_rate_hz,
        margin_samples=margin_samples,
        private=private,
    )
