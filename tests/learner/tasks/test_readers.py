"""Reading data: every accepted form, and one clear line for every mistake."""

import contextlib
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.config import TaskConfig
from learner.errors import TaskError
from learner.tasks.readers import Examples, read_examples

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
        ("train.tsv", "\t1\n", "train.tsv:1: malformed row '1'; expected sentence<TAB>label"),
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
    assert "has no training file; expected one of train.tsv, train.jsonl, train.csv, train.txt" in error_of(tmp_path)
    write(tmp_path, train_tsv="a\t1\n")
    assert "has no evaluation file; expected test.*, dev.* or val.*" in error_of(tmp_path)


def test_two_training_files_are_ambiguous(tmp_path: Path) -> None:
    write(tmp_path, train_tsv="a\t1\n", train_csv="sentence,label\na,1\n")
    assert "has both train.tsv and train.csv; keep one of them" in error_of(tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, data_parquet="x") / "data.parquet"
    assert error_of(path).endswith("is a .parquet file; allowed .tsv, .jsonl, .csv, .txt; convert it")


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
@given(content=st.binary(max_size=80), suffix=st.sampled_from(["tsv", "jsonl", "csv", "txt"]))
def test_whatever_a_file_holds_only_a_task_error_comes_out(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzzed.{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(TaskError):
        read(path, template="text" if suffix == "txt" else "sst2")
