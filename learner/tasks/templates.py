"""How the rows of well-known data sets become prompts; no torch here."""

from dataclasses import dataclass, replace

from learner.config import TaskConfig, TaskKind


@dataclass(frozen=True, slots=True)
class Template:
    """How a row is read, asked and scored."""

    kind: TaskKind
    prompt: str
    """{text} stands for the column `text_key`, any other {name} for the column of that name"""
    verbalizer: dict[str, str]
    """Label as written -> word; empty unless the kind is classification"""
    text_key: str
    label_key: str
    metric: str
    """accuracy | f1 | answer_accuracy | perplexity"""


_SST2 = Template(
    "classification", "{text} It was", {"0": " terrible", "1": " great"}, "sentence", "label", metric="accuracy"
)
_YAHOO_TOPICS = (
    " Society",
    " Science",
    " Health",
    " Education",
    " Computers",
    " Sports",
    " Business",
    " Entertainment",
    " Family",
    " Politics",
)
TEMPLATES: dict[str, Template] = {
    "sst2": _SST2,
    "rte": Template(
        "classification",
        "{text}\nQuestion: {hypothesis} Yes or No?\nAnswer:",
        {"entailment": " Yes", "not_entailment": " No"},
        "premise",
        "label",
        metric="accuracy",
    ),
    "boolq": Template(
        "classification",
        "{text}\nQuestion: {question}?\nAnswer:",
        {"True": " Yes", "False": " No"},
        "passage",
        "answer",
        metric="accuracy",
    ),
    "yahoo_answers": Template(
        "classification",
        "{text}\nTopic:",
        {str(number): word for number, word in enumerate(_YAHOO_TOPICS)},
        "question_title",
        "topic",
        metric="accuracy",
    ),
    "squad": Template("completion", "{text}\nQuestion: {question}\nAnswer:", {}, "context", "answers", metric="f1"),
    "gsm8k": Template("completion", "Question: {text}\nAnswer:", {}, "question", "answer", metric="answer_accuracy"),
    "text": Template("text", "{text}", {}, "text", "label", metric="perplexity"),
}


def template_of(config: TaskConfig) -> Template:
    """The template that a task names, with what the task says differently."""
    template = TEMPLATES[config.template]
    return replace(
        template,
        prompt=config.prompt if config.prompt is not None else template.prompt,
        verbalizer=config.verbalizer if config.verbalizer is not None else template.verbalizer,
        text_key=config.text_key or template.text_key,
        label_key=config.label_key or template.label_key,
    )
