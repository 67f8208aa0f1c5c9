"""Who gets which examples, and when: counter-based draws, the same in every process and after a restart."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from learner.errors import TaskError


class Stream(IntEnum):
    """What a draw is for; no two uses share random words."""

    SPLIT = 1
    TRAIN_SUBSET = 2
    TEST_SUBSET = 3
    PARTITION = 4
    BATCH = 5


def random_order(seed: int, num: int, stream: Stream, *, device: int = 0, round_index: int = 0) -> NDArray[np.int64]:
    """A uniform permutation of 0 … num−1 that depends on the arguments only.

    Sorts words of Philox4x64 with key (seed, stream) and counter (0, 0, device, round), which numpy keeps
    stable.
    """
    if not 0 <= seed < 1 << 64:
        raise TaskError(f"task seed is {seed}; allowed 0 to 2**64 - 1; pass an unsigned 64-bit seed")
    key = np.array([seed, stream], np.uint64)
    counter = np.array([0, 0, device, round_index], np.uint64)
    words = np.random.Philox(key=key, counter=counter).random_raw(num)
    return np.argsort(words, kind="stable")


def random_subset(seed: int, num: int, num_kept: int, stream: Stream) -> NDArray[np.int64]:
    """`num_kept` of 0 … num−1 in ascending order."""
    return np.sort(random_order(seed, num, stream)[:num_kept])


def partition_iid(seed: int, num: int, num_devices: int) -> list[NDArray[np.int64]]:
    """Deal 0 … num−1 out to the devices at random; sizes differ by at most one."""
    if num_devices < 1:
        raise TaskError(f"number of devices is {num_devices}; allowed 1 or more; set it to at least 1")
    if num < num_devices:
        raise TaskError(
            f"{num} training examples for {num_devices} devices; each device needs at least one; "
            "use fewer devices or raise task.num_train"
        )
    return np.array_split(random_order(seed, num, Stream.PARTITION), num_devices)
