"""Reading data: every accepted form, and one clear line for every mistake."""

import contextlib
import gzip
import json
import sys
import types
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.config import TaskConfig
from learner.errors import TaskError
from learner.tasks.reading.sources import read_examples
from learner.tasks.rows import Example, Examples

ROWS = [("fine film", "1"), ("dull film", "0"), ("a, b", "1")]


def read(path: Path | str, **settings: object) -> Examples:
    return read_examples(TaskConfig(path=str(path), **settings), seed=0)  # type: ignore[arg-type]


def error_of(path: Path | str, **settings: object) -> str:
    with pytest.raises(TaskError) as caught:
        read(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(directory: Path, **files: str) -> Path:
    for name, content in files.items():
        (directory / name.replace("_", ".")).write_text(content, encoding="utf-8")
    return directory


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("tsv", "fine film\t1\n\ndull film\t0\na, b\t1\n"),
        ("tsv", "\ufefffine film\t1\r\ndull film\t0\r\na, b\t1"),
        (
            "jsonl",
            '{"sentence": "fine film", "label": 1}\n{"sentence": "dull film", "label": "0"}\n'
            '{"label": 1, "sentence": "a, b"}\n',
        ),
        ("csv", 'label,sentence\n1,fine film\n0,dull film\n1,"a, b"\n'),
    ],
)
def test_all_forms_give_the_same_examples(tmp_path: Path, suffix: str, content: str) -> None:
    directory = write(tmp_path, **{f"train_{suffix}": content, f"test_{suffix}": content})
    examples = read(directory)
    for part in (examples.train, examples.test):
        assert [(example.text, example.label) for example in part] == ROWS
    assert examples.train[0].place == f"{directory}/train.{suffix}:{2 if suffix == 'csv' else 1}"


@pytest.mark.parametrize(("present", "used"), [(("test", "dev"), "test"), (("dev", "val"), "dev"), (("val",), "val")])
def test_evaluation_uses_test_else_dev_else_val_and_says_so(
    tmp_path: Path, present: tuple[str, ...], used: str
) -> None:
    write(tmp_path, train_tsv="a\t1\n", **{f"{name}_tsv": f"{name}\t1\n" for name in present})
    examples = read(tmp_path)
    assert examples.test[0].text == used
    assert examples.test_source == str(tmp_path / f"{used}.tsv")


def test_one_file_is_split_80_to_20_by_seed(tmp_path: Path) -> None:
    path = write(tmp_path, all_tsv="".join(f"s{n}\t{n % 2}\n" for n in range(50))) / "all.tsv"
    config = TaskConfig(path=str(path))
    first, again, other = (read_examples(config, seed=seed) for seed in (1, 1, 2))
    assert (len(first.train), len(first.test)) == (40, 10)
    assert {e.text for e in first.train + first.test} == {f"s{n}" for n in range(50)}
    assert first == again
    assert first.test != other.test


def test_other_keys_can_be_named(tmp_path: Path) -> None:
    write(tmp_path, train_csv="text,category\nhi,x\n", test_csv="text,category\nho,y\n")
    assert read(tmp_path, text_key="text", label_key="category").test[0].label == "y"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "train.tsv",
            "good\t1\nno label here\n",
            "train.tsv:2: malformed row 'no label here'; expected sentence<TAB>label",
        ),
        (
            "train.tsv",
            "\t1\n",
            "train.tsv: 1 rows with an empty 'sentence' are left out); at least one",
        ),
        ("train.json", '{"a": 1}', "train.json: holds {'a': 1}; expected a list of JSON objects"),
        ("train.json", '[{"sentence": "a", "label": 1}, 3]', "train.json[1]: malformed row 3; expected a JSON object"),
        ("train.json", '[{"sentence": "a"', "train.json: malformed row "),
        ("train.json", '{"data": [{"paragraphs": 3}]}', "train.json[0]: no article of SQuAD"),
        ("train.parquet", "x", "as Parquet: "),
        ("train.jsonl.gz", "x", "train.jsonl.gz is no whole gzip file"),
        ("train.tsv", "x" * 200 + "\n", "…; expected sentence<TAB>label; correct or remove the row"),
        ("train.tsv", "\n \n", "train.tsv is empty; at least one example is needed"),
        ("train.jsonl", "", "train.jsonl is empty; at least one example is needed"),
        ("train.csv", "sentence,label\n", "train.csv is empty; at least one example is needed"),
        ("train.jsonl", '{"sentence": "a", "label": 1}\n{oops\n', "train.jsonl:2: malformed row '{oops' ("),
        ("train.jsonl", "[1, 2]\n", "train.jsonl:1: malformed row '[1, 2]'; expected a JSON object"),
        (
            "train.jsonl",
            '{"text": "a", "label": 1}\n',
            "train.jsonl:1: no key 'sentence', found ['label', 'text']; set task.text_key",
        ),
        ("train.jsonl", '{"sentence": "a"}\n', "train.jsonl:1: no key 'label', found ['sentence']; set task.label_key"),
        (
            "train.jsonl",
            '{"sentence": 3, "label": 1}\n',
            "train.jsonl:1: malformed row, 'sentence' is 3; expected a sentence",
        ),
        (
            "train.jsonl",
            '{"sentence": "a", "label": 1.5}\n',
            "train.jsonl:1: malformed row, 'label' is 1.5; expected text or a whole number",
        ),
        (
            "train.csv",
            "sentence,label\nonly\n",
            "train.csv:2: malformed row, 'label' is None; expected text or a whole number",
        ),
        (
            "train.csv",
            'sentence,label\n"never closed,1\n',
            "malformed row (unexpected end of data); correct or remove the row",
        ),
    ],
)
def test_malformed_files_name_file_and_line(tmp_path: Path, name: str, content: str, expected: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    write(tmp_path, test_tsv="a\t1\n")
    assert expected in error_of(tmp_path)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_bytes(b"caf\xe9\t1\n")
    write(tmp_path, test_tsv="a\t1\n")
    assert "train.tsv is not UTF-8 text (invalid continuation byte at byte 3); convert it to UTF-8" in error_of(
        tmp_path
    )


def test_missing_paths_are_refused(tmp_path: Path) -> None:
    assert error_of("/no/such/place").startswith("task.path '/no/such/place' does not exist; allowed \"embedded\"")
    assert error_of("reviews.tsv").startswith("task.path 'reviews.tsv' does not exist")


def test_a_directory_needs_training_and_evaluation_files(tmp_path: Path) -> None:
    assert "has no training file; expected one of train.tsv, train.jsonl, train.json, train.csv" in error_of(tmp_path)
    write(tmp_path, train_tsv="a\t1\n")
    assert "has no evaluation file; expected test.*, dev.* or val.*" in error_of(tmp_path)


def test_two_training_files_are_ambiguous(tmp_path: Path) -> None:
    write(tmp_path, train_tsv="a\t1\n", train_csv="sentence,label\na,1\n")
    assert "has both train.tsv and train.csv; keep one of them" in error_of(tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, data_xlsx="x") / "data.xlsx"
    assert error_of(path).endswith(
        "is a .xlsx file; allowed .tsv, .jsonl, .json, .csv, .txt, .parquet, text also .gz; convert it"
    )


def test_a_single_example_cannot_be_split(tmp_path: Path) -> None:
    path = write(tmp_path, all_tsv="a\t1\n") / "all.tsv"
    assert "has 1 example; a file that is split 80/20 needs at least 2" in error_of(path)


def test_hub_data_without_the_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "run pip install 'airzero-testbed[hub]', or give a local file" in error_of("stanfordnlp/sst2")


def hub(monkeypatch: pytest.MonkeyPatch, splits: dict[str, list[dict[str, object]]] | Exception) -> None:
    module = types.ModuleType("datasets")

    def load_dataset(name: str) -> dict[str, list[dict[str, object]]]:
        if isinstance(splits, Exception):
            raise splits
        return splits

    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_hub_data_skips_a_test_split_whose_labels_are_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"sentence": "fine", "label": 1}, {"sentence": "dull", "label": 0}]
    hub(monkeypatch, {"train": rows, "validation": rows, "test": [{"sentence": "x", "label": -1}]})
    examples = read("org/name")
    assert examples.test_source == "org/name:validation"
    assert [example.label for example in examples.train] == ["1", "0"]


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (
            ConnectionError("no route\nsecond line"),
            "could not be fetched from the Hugging Face hub: no route; check the name",
        ),
        ({"test": []}, "data set org/name has no split train, only ['test']"),
        ({"train": []}, "org/name:train is empty"),
        ({"train": [{"sentence": "a", "label": 1}]}, "has no labelled evaluation split among ['train']"),
    ],
)
def test_hub_failures_are_explained(
    monkeypatch: pytest.MonkeyPatch, splits: dict[str, list[dict[str, object]]] | Exception, expected: str
) -> None:
    hub(monkeypatch, splits)
    assert expected in error_of("org/name")


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"sentence": "a", "label": ' + "[" * 900 + "]" * 900 + "}",
        '{"sentence": "a", "label": NaN}',
        '{"sentence": "a", "label": ' + "9" * 5000 + "}",
        '{"sentence": "\\ud800", "label": 1}',
        '{"sentence": "a", "label": "\\udfff"}',
        '{"sentence": "a", "sentence": "b", "label": 1}',
    ],
    ids=["deep", "nested", "nan", "huge", "surrogate", "label", "twice"],
)
def test_broken_json_is_a_task_error(tmp_path: Path, line: str) -> None:
    write(tmp_path, train_jsonl=line, test_jsonl=line)
    assert f"{tmp_path}/train.jsonl:1: malformed row" in error_of(tmp_path)


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=80),
    suffix=st.sampled_from(["tsv", "jsonl", "json", "csv", "txt", "jsonl.gz", "parquet"]),
)
def test_whatever_a_file_holds_only_a_task_error_comes_out(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzzed.{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(TaskError):
        read(path, template="text" if suffix == "txt" else "sst2")


TABLE = {"label": [1, 0, 1], "other": [None, 3, 4], "sentence": ["fine film", "dull film", "a, b"]}
"""ROWS in columns, and one that is not asked for."""


def as_parquet(path: Path, rows: dict[str, list[object]]) -> None:
    pyarrow.parquet.write_table(pyarrow.table(rows), path)


def as_saved(directory: Path, rows: dict[str, list[object]], *, num_files: int) -> None:
    """What `Dataset.save_to_disk` writes, as far as it is read here."""
    directory.mkdir(parents=True)
    table = pyarrow.table(rows)
    names = [f"data-{n:05d}-of-{num_files:05d}.arrow" for n in range(num_files)]
    size = -(-table.num_rows // num_files)
    for n, name in enumerate(names):
        with pyarrow.ipc.new_stream(directory / name, table.schema) as stream:
            stream.write_table(table.slice(n * size, size))
    (directory / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))


def pairs(part: tuple[Example, ...]) -> list[tuple[str, str]]:
    return [(example.text, example.label) for example in part]


def test_parquet_gives_the_same_examples_also_in_pieces(tmp_path: Path) -> None:
    as_parquet(tmp_path / "test.parquet", TABLE)
    for piece in range(3):
        rows = {name: column[piece : piece + 1] for name, column in TABLE.items()}
        as_parquet(tmp_path / f"train-{piece:05d}-of-00003.parquet", rows)
    examples = read(tmp_path)
    assert pairs(examples.train) == pairs(examples.test) == ROWS
    assert examples.test[2].place == f"{tmp_path}/test.parquet:2"
    (tmp_path / "train-00001-of-00003.parquet").unlink()
    assert "has 2 files like train-00000-of-00003.parquet; fetch the others" in error_of(tmp_path)


def test_a_parquet_file_without_a_needed_column_says_so(tmp_path: Path) -> None:
    as_parquet(tmp_path / "all.parquet", {"text": ["a", "b"], "label": [1, 0]})
    said = error_of(tmp_path / "all.parquet")
    assert said.startswith(f"{tmp_path}/all.parquet: no key 'sentence', found ['label', 'text']; set task.text_key")
    assert len(read(tmp_path / "all.parquet", text_key="text").train) == 1


def test_saved_data_sets_give_the_same_examples(tmp_path: Path) -> None:
    for split, num_files in (("train", 2), ("validation", 1)):
        as_saved(tmp_path / "all" / split, TABLE, num_files=num_files)
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    examples = read(tmp_path / "all")
    assert pairs(examples.train) == pairs(examples.test) == ROWS
    assert examples.test_source == str(tmp_path / "all" / "validation")
    assert examples.train[2].place == f"{tmp_path}/all/train:2"
    alone = read(tmp_path / "all" / "train")
    assert sorted(pairs(alone.train + alone.test)) == sorted(ROWS)
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert "has the splits train; needed are train and one of test, dev" in error_of(tmp_path / "all")


def test_names_that_only_look_like_pieces_are_no_files_of_a_split(tmp_path: Path) -> None:
    as_parquet(tmp_path / "train-some-of-these.parquet", TABLE)
    assert "has no training file" in error_of(tmp_path)


@pytest.mark.parametrize("entry", [3, {}, {"filename": "none.arrow"}, {"filename": "state.json"}])
def test_a_damaged_saved_data_set_is_a_task_error(tmp_path: Path, entry: object) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [entry]}))
    assert "save the data set again" in error_of(tmp_path)


def test_tables_without_pyarrow_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_parquet(tmp_path / "all.parquet", TABLE)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "run pip install 'airzero-testbed[parquet]', or convert it to .jsonl" in error_of(tmp_path / "all.parquet")


@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "csv", "json"])
def test_compressed_text_gives_the_same_examples(tmp_path: Path, suffix: str) -> None:
    content = {
        "tsv": "".join(f"{text}\t{label}\n" for text, label in ROWS),
        "jsonl": "".join(json.dumps({"sentence": text, "label": label}) + "\n" for text, label in ROWS),
        "json": json.dumps({"data": [{"sentence": text, "label": label} for text, label in ROWS]}),
        "csv": 'label,sentence\n1,fine film\n0,dull film\n1,"a, b"\n',
    }[suffix].encode()
    for split in ("train", "test"):
        (tmp_path / f"{split}.{suffix}.gz").write_bytes(gzip.compress(content))
    assert pairs(read(tmp_path).train) == ROWS
    (tmp_path / f"train.{suffix}.gz").write_bytes(gzip.compress(content)[:-9])
    assert f"train.{suffix}.gz is no whole gzip file" in error_of(tmp_path)


def test_empty_sentences_are_counted_and_left_out(tmp_path: Path) -> None:
    write(
        tmp_path,
        train_tsv="fine film\t1\n\t0\n  \t1\ndull film\t0\n",
        test_csv='sentence,label\nfine film,1\n"",0\n',
    )
    examples = read(tmp_path)
    assert pairs(examples.train) == ROWS[:2]
    assert examples.remarks == (
        f"{tmp_path}/train.tsv: 2 rows with an empty 'sentence' are left out",
        f"{tmp_path}/test.csv: 1 rows with an empty 'sentence' are left out",
    )


def test_squad_2_is_read_as_it_is_published(tmp_path: Path) -> None:
    questions = [
        {"id": "a1", "question": "Who?", "answers": [{"text": "Ann"}, {"text": "Ann B"}, {"text": "Ann"}]},
        {"id": "a2", "question": "When?", "answers": [], "is_impossible": True},
    ]
    article = {"title": "t", "paragraphs": [{"context": "Ann B came.", "qas": questions}]}
    write(tmp_path, train_json=json.dumps({"version": "v2.0", "data": [article, article]}))
    write(tmp_path, dev_json=json.dumps({"version": "v2.0", "data": [article]}))
    examples = read(tmp_path, template="squad_v2")
    assert len(examples.train) == 4
    who, when = examples.test
    assert (who.text, who.columns, who.answers) == ("Ann B came.", (("question", "Who?"),), ("Ann", "Ann B"))
    assert (when.label, when.answers) == ("unanswerable", ("unanswerable",))
    assert "'answers' is None; expected text" in error_of(tmp_path, template="squad")
