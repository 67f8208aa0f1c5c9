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
    SHARES = 6
    VALIDATION = 7


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


def partition_dirichlet(
    seed: int, labels: NDArray[np.int64], num_devices: int, *, alpha: float
) -> list[NDArray[np.int64]]:
    """Deal each class to the devices by shares from a Dirichlet(alpha) law; nobody goes without an example.

    The smaller alpha, the fewer classes a device has; a device left empty gets one of the largest shard's examples.
    """
    shards: list[list[int]] = [[] for _ in partition_iid(seed, len(labels), num_devices)]  # checks the counts
    order = random_order(seed, len(labels), Stream.PARTITION)
    for label in np.unique(labels):
        key = np.array([seed, Stream.SHARES], np.uint64)
        bits = np.random.Philox(key=key, counter=np.array([0, 0, int(label), 0], np.uint64))
        shares = np.random.Generator(bits).dirichlet(np.full(num_devices, alpha))
        own = order[labels[order] == label]
        cuts = np.round(np.cumsum(shares)[:-1] * len(own)).astype(np.int64)
        for shard, part in zip(shards, np.split(own, cuts), strict=True):
            shard.extend(part.tolist())
    for shard in shards:
        if not shard:
            shard.append(max(shards, key=len).pop())
    return [np.array(shard, np.int64) for shard in shards]
