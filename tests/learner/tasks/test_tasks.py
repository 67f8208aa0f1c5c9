"""Tasks: prompts, verbalizers, partitions and batches."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from learner.config import ModelConfig, TaskConfig
from learner.errors import TaskError
from learner.tasks.batches import collate, merge
from learner.tasks.sampling import Stream, partition_iid, random_order
from learner.tasks.task import Task
from learner.zo.replica import Replica

MakeTask = Callable[..., Task]
SST2_DIR = Path(__file__).parents[4] / "shared" / "data" / "sst2"


def rows_of(task: Task, device: int, round_index: int, batch_size: int) -> list[list[int]]:
    batch = task.batch(device, round_index, batch_size)
    return [ids[: last + 1].tolist() for ids, last in zip(batch.input_ids, batch.last_positions.tolist(), strict=True)]


def test_batches_depend_on_seed_device_and_round_only(make_task: MakeTask) -> None:
    first, resumed = make_task(), make_task()
    forwards = [rows_of(first, device, n, 6) for n in range(4) for device in range(3)]
    backwards = [rows_of(resumed, device, n, 6) for n in reversed(range(4)) for device in reversed(range(3))]
    assert forwards == backwards[::-1]
    assert len({str(batch) for batch in forwards}) == len(forwards)
    assert rows_of(make_task(seed=6), 0, 0, 6) != forwards[0]


def test_a_batch_holds_each_example_at_most_once_and_only_the_devices_own(make_task: MakeTask) -> None:
    task = make_task(num_devices=4)
    for device in range(4):
        own = Counter(str(row) for row in rows_of(task, device, 0, 1000))
        assert sum(own.values()) == len(task.shard(device)) == 15  # asks for more than there are: gets all
        for n in range(5):
            assert not Counter(str(row) for row in rows_of(task, device, n, 7)) - own


@given(num=st.integers(1, 300), num_devices=st.integers(1, 40), seed=st.integers(0, 2**64 - 1))
def test_partitions_deal_out_everything_once_and_evenly(num: int, num_devices: int, seed: int) -> None:
    if num < num_devices:
        with pytest.raises(TaskError, match=f"{num} training examples for {num_devices} devices"):
            partition_iid(seed, num, num_devices)
        return
    shards = partition_iid(seed, num, num_devices)
    assert sorted(np.concatenate(shards).tolist()) == list(range(num))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_random_orders_are_frozen() -> None:
    """A resumed run needs the same batches from any later version."""
    assert random_order(1, 8, Stream.BATCH, device=2, round_index=3).tolist() == ORDER


ORDER = [1, 0, 6, 4, 2, 7, 5, 3]


def test_every_example_is_drawn_equally_often() -> None:
    counts = np.zeros(20)
    for n in range(4000):
        counts[random_order(0, 20, Stream.BATCH, round_index=n)[:5]] += 1
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)  # 5 standard deviations of a binomial


def test_rows_are_padded_on_the_right_to_a_multiple_of_8(
    make_task: MakeTask, word_tokenizer: PreTrainedTokenizerFast
) -> None:
    task = make_task(max_tokens=20)
    widths = set()
    for n in range(30):
        batch = task.batch(0, n, 2)
        width, longest = batch.input_ids.shape[1], int(batch.last_positions.max()) + 1
        assert width == min(-(-longest // 8) * 8, 20)
        widths.add(width)
        for ids, last in zip(batch.input_ids, batch.last_positions.tolist(), strict=True):
            assert word_tokenizer.decode(ids[: last + 1]).endswith("It was")
            assert (ids[last + 1 :] == word_tokenizer.pad_token_id).all()
    assert len(widths) > 1


def test_padding_never_changes_a_score(any_model_dir: Path, make_task: MakeTask) -> None:
    replica = Replica.load(ModelConfig(path=str(any_model_dir)))
    task = make_task()
    together = replica.class_logits([task.batch(0, 0, 12)])[0]
    widest = replica.class_logits([merge([task.batch(0, 0, 12), *task.test_batches(30)])])[0][:12]
    np.testing.assert_allclose(together, widest, atol=1e-5)
    order = random_order(task.seed, 20, Stream.BATCH)[:12]
    for n, row in enumerate(task.shard(0)[order]):
        single = collate(task._train, np.array([row]), task.class_tokens)
        length = int(single.last_positions[0]) + 1
        exact = type(single)(single.input_ids[:, :length], single.last_positions, single.labels, single.class_tokens)
        np.testing.assert_allclose(replica.class_logits([exact])[0][0], together[n], atol=1e-5)


def test_long_sentences_lose_their_beginning_and_keep_the_prompt(
    tmp_path: Path, word_tokenizer: PreTrainedTokenizerFast, make_task: MakeTask
) -> None:
    long = " ".join(["film", "story", "plot"] * 20) + " good"
    (tmp_path / "train.tsv").write_text(f"{long}\t1\nbad film\t0\n")
    (tmp_path / "test.tsv").write_text(f"{long}\t1\n")
    task = make_task(path=str(tmp_path), num_devices=1, max_tokens=8, prompt="a {text} It was")
    longest = max(rows_of(task, 0, 0, 2), key=len)
    assert word_tokenizer.decode(longest) == "a plot film story plot good It was"
    assert len(longest) == 8


def test_one_endless_word_is_cut_inside(tmp_path: Path, model_dirs: dict[str, Path], make_task: MakeTask) -> None:
    (tmp_path / "train.tsv").write_text("good-" * 30 + "bad\t1\nbad film\t0\n")
    (tmp_path / "test.tsv").write_text("good\t1\n")
    task = make_task(path=str(tmp_path), num_devices=1, max_tokens=8)
    longest = max(rows_of(task, 0, 0, 2), key=len)
    assert 6 <= len(longest) <= 8


def test_a_prompt_that_is_too_long_by_itself_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match=r"takes \d+ tokens without a sentence; allowed task.max_tokens = 4"):
        make_task(prompt="{text} film film film film It was", max_tokens=4)


def test_labels_and_class_tokens_follow_the_verbalizer(
    make_task: MakeTask, word_tokenizer: PreTrainedTokenizerFast
) -> None:
    for verbalizer in ({"0": " terrible", "1": " great"}, {"1": " great", "0": " terrible"}):
        task = make_task(verbalizer=verbalizer)
        batch = task.batch(0, 0, 20)
        assert [word_tokenizer.decode(token) for token in task.class_tokens] == [
            word.strip() for word in verbalizer.values()
        ]
        tones = [any(int(i) in range(3, 8) for i in ids) for ids in batch.input_ids]  # words 3..7 are praise
        assert [list(verbalizer)[label] == "1" for label in batch.labels.tolist()] == tones


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"verbalizer": {"0": " great", "1": " great story"}},
            "begins with or is the beginning of ' great', so that one could never win; choose other words, or end all",
        ),
        ({"verbalizer": {"0": " great", "1": "  great"}}, "becomes the same tokens as ' great', so that one"),
        (
            {"metric": "f1"},
            "the template 'sst2' is a classification task; allowed accuracy, macro_f1",
        ),
        (
            {"verbalizer": {"0": " terrible", "1": " wonderful"}},
            "= ' wonderful' is unknown to the model's tokenizer; choose a word",
        ),
        ({"verbalizer": {"0": " terrible", "1": " "}}, "does not become tokens of its own after the prompt"),
        ({"verbalizer": {"0": "less", "1": " great"}}, "begin the word with a space"),
        (
            {"verbalizer": {"0": " terrible", "2": " great"}},
            "train.tsv:2: label '1' is outside the verbalizer; allowed ['0', '2']; add it",
        ),
        ({"prompt": "{text} {text} It was"}, "has 2 times {text}; allowed once"),
        ({"num_train": 61}, "task.num_train is 61, "),
        ({"num_test": 31}, "has 30 examples; allowed 1 to 30; lower it, or leave it out to use all"),
        ({"num_train": 1, "num_devices": 1}, "training examples of"),
        ({"num_devices": 0}, "number of devices is 0; allowed 1 or more"),
        ({"num_devices": 61}, "60 training examples for 61 devices; each device needs at least one; use fewer devices"),
        ({"seed": -1}, "task seed is -1; allowed 0 to 2**64 - 1"),
    ],
)
def test_impossible_tasks_are_refused(make_task: MakeTask, settings: dict[str, object], expected: str) -> None:
    with pytest.raises(TaskError) as caught:
        make_task(**settings)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_class_data_is_refused(tmp_path: Path, make_task: MakeTask) -> None:
    (tmp_path / "train.tsv").write_text("good film\t1\nbright film\t1\n")
    (tmp_path / "test.tsv").write_text("good\t1\n")
    with pytest.raises(
        TaskError, match=r"all 2 training examples of .* have the label '1'; at least 2 classes are needed"
    ):
        make_task(path=str(tmp_path), num_devices=1)


def test_a_header_in_a_tsv_file_is_explained(tmp_path: Path, make_task: MakeTask) -> None:
    (tmp_path / "train.tsv").write_text("sentence\tlabel\ngood\t1\nbad\t0\n")
    (tmp_path / "test.tsv").write_text("good\t1\n")
    with pytest.raises(TaskError, match=r"train.tsv:1: label 'label' is outside .* \(a TSV file has no header\)"):
        make_task(path=str(tmp_path), num_devices=1)


@pytest.mark.parametrize(("device", "round_index", "batch_size"), [(3, 0, 4), (-1, 0, 4), (0, -1, 4), (0, 0, 0)])
def test_batches_that_cannot_be_are_refused(
    make_task: MakeTask, device: int, round_index: int, batch_size: int
) -> None:
    with pytest.raises(TaskError, match="; allowed "):
        make_task().batch(device, round_index, batch_size)
    with pytest.raises(TaskError, match="evaluation batch size is 0; allowed 1 or more"):
        make_task().test_batches(0)


def test_a_task_longer_than_the_model_is_refused(reviews_dir: Path, word_tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(TaskError, match=r"task.max_tokens is 64, the model has 32 positions; set it to 32 or less"):
        Task(TaskConfig(path=str(reviews_dir)), word_tokenizer, num_devices=1, seed=0, max_model_tokens=32)


def test_a_tokenizer_that_closes_sentences_does_not_hide_the_label_position(
    make_task: MakeTask, word_tokenizer: PreTrainedTokenizerFast
) -> None:
    closing = PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer.backend_tokenizer.from_str(word_tokenizer.backend_tokenizer.to_str()),
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="</s>",
    )
    closing.backend_tokenizer.post_processor = TemplateProcessing(single="</s> $A </s>", special_tokens=[("</s>", 1)])
    rows, plain = rows_of(make_task(tokenizer=closing), 0, 0, 6), rows_of(make_task(), 0, 0, 6)
    assert rows == [[1, *row] for row in plain]


def test_subsets_are_drawn_by_seed_and_nested(make_task: MakeTask) -> None:
    task = make_task(num_train=20, num_test=10)
    assert (task.num_train, task.num_test, task.num_devices) == (20, 10, 3)
    assert rows_of(task, 0, 0, 6) == rows_of(make_task(num_train=20), 0, 0, 6)


def test_evaluation_batches_hold_every_example_in_order_of_length(make_task: MakeTask) -> None:
    batches = make_task().test_batches(8)
    assert [batch.num_examples for batch in batches] == [8, 8, 8, 6]
    lengths = torch.cat([batch.last_positions for batch in batches])
    assert torch.equal(lengths, lengths.sort().values)


@pytest.mark.skipif(not SST2_DIR.is_dir(), reason=f"no SST-2 in {SST2_DIR}")
def test_the_whole_of_sst2_becomes_a_task(word_tokenizer: PreTrainedTokenizerFast) -> None:
    task = Task(TaskConfig(path=str(SST2_DIR)), word_tokenizer, num_devices=5, seed=0)
    assert (task.num_train, task.num_test) == (6920, 1821)
    assert task.test_source.endswith("test.tsv")
    assert [len(task.shard(device)) for device in range(5)] == [1384] * 5
    batch = task.batch(4, 7999, 16)
    assert batch.input_ids.shape[0] == 16
    assert batch.input_ids.shape[1] <= 64


def test_validation_examples_come_from_the_training_ones_and_nobody_trains_on_them(make_task: MakeTask) -> None:
    whole, task, again = make_task(), make_task(num_validation=20), make_task(num_validation=20)
    assert whole.validation is None
    assert task.validation is not None
    assert again.validation is not None
    assert (whole.num_train, task.num_train) == (60, 40)
    held = examples_in(task.validation.test_batches(64))
    assert held == examples_in(again.validation.test_batches(64))
    assert len(held) == 20
    trained = examples_in([task.rows(np.concatenate([task.shard(k) for k in range(3)]))])
    assert sorted(held + trained) == sorted(examples_in([whole.rows(np.arange(60))]))
    assert examples_in(task.test_batches(64)) == examples_in(whole.test_batches(64))
    assert task.fingerprint() == again.fingerprint() != make_task(num_validation=21).fingerprint()
    assert make_task(num_train=40).fingerprint() != task.fingerprint()


def test_all_training_examples_cannot_be_held_out(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match=r"task\.num_validation is 60, .* has 60 examples; allowed 1 to 59"):
        make_task(num_validation=60)


def examples_in(batches: list) -> list[tuple[int, ...]]:
    """Unpadded tokens and the label of every example."""
    return [
        (*row[: last + 1].tolist(), label)
        for batch in batches
        for row, last, label in zip(batch.input_ids, batch.last_positions.tolist(), batch.labels.tolist(), strict=True)
    ]


def test_what_is_left_out_or_shortened_is_counted_and_said(
    tmp_path: Path, make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    long = "good film and story " * 5
    (tmp_path / "train.tsv").write_text(f"good film\t1\n\t0\nbad film\t0\n{long}\t1\n")
    (tmp_path / "test.tsv").write_text(f"good\t1\n{long}\t1\n{long}\t1\n")
    task = make_task(path=str(tmp_path), num_devices=1, max_tokens=8)
    assert caplog.messages == [
        f"{tmp_path}/train.tsv: 1 rows with an empty 'sentence' are left out",
        "1 of 3 training prompts have more than task.max_tokens = 8 tokens: their text loses its beginning",
    ]
    caplog.clear()
    task.test_batches(8)
    assert caplog.messages == [
        "2 of 3 evaluation prompts have more than task.max_tokens = 8 tokens: their text loses its beginning"
    ]
