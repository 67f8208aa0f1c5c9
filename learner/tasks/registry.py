"""Every task template by name: those that come with the package, and those that `register` adds."""

import re
from copy import copy
from typing import TypeVar, get_args

from learner.config import TaskConfig, TaskKind
from learner.errors import TaskError, one_of
from learner.tasks.scores import CLASS_SCORES, SCORES
from learner.tasks.templates import (
    Banking77,
    BoolQ,
    Gsm8k,
    PlainText,
    Rte,
    Squad,
    SquadV2,
    Sst2,
    Template,
    YahooAnswers,
)

_BUILT_IN: tuple[Template, ...] = (
    Sst2(),
    Rte(),
    BoolQ(),
    YahooAnswers(),
    Banking77(),
    Squad(),
    SquadV2(),
    Gsm8k(),
    PlainText(),
)
BUILT_IN = tuple(each.name for each in _BUILT_IN)
"""Names of the templates that come with the package."""
_templates: dict[str, Template] = {each.name: each for each in _BUILT_IN}

T = TypeVar("T", bound=Template | type[Template])


def register(added: T) -> T:
    """Make a template known by its name; a class (this is its decorator then) or an instance, returned as it is.

    The same class may be registered again, as when a notebook cell runs twice. TaskError for what no task can be.
    """
    each = added() if isinstance(added, type) else added
    label = f"task template {type(each).__name__}"
    name = getattr(each, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z]\w*", name):
        raise TaskError(f'{label}: its name is {name!r}; allowed a word of small letters; write name = "mine"')
    known = _templates.get(name)
    if known is not None and _origin(known) != _origin(each):
        raise TaskError(f"{label}: the name {name!r} belongs to {'.'.join(_origin(known))}; choose another")
    if each.kind not in get_args(TaskKind):
        raise TaskError(f"{label}: its kind is {each.kind!r}; {one_of(get_args(TaskKind), each.kind)}")
    _check(each, label)
    _templates[name] = each
    return added


def names() -> tuple[str, ...]:
    """What `task.template` may be, the package's own first."""
    return tuple(_templates)


def template(name: str) -> Template:
    """The template of that name; TaskError lists the names there are."""
    if name not in _templates:
        raise TaskError(f"task.template: got {name!r}; {one_of(_templates, name)}")
    return _templates[name]


def template_of(config: TaskConfig) -> Template:
    """The template that a task names, with what the task says differently; TaskError if the two do not fit."""
    found = copy(template(config.template))
    for key in ("prompt", "verbalizer", "text_key", "label_key", "max_tokens", "max_new_tokens"):
        if getattr(config, key) is not None:
            setattr(found, key, getattr(config, key))
    if config.metric is not None and config.metric != found.metric:
        _judge_by(found, config.metric)
    _check(found, "task")
    if config.partition == "dirichlet" and found.kind != "classification":
        raise TaskError(
            f'task.partition is "dirichlet", the template {config.template!r} has no classes; allowed "iid"; '
            "leave task.partition out"
        )
    return found


def _judge_by(each: Template, metric: str) -> None:
    """Have a template's answers scored by another metric."""
    allowed = {"classification": [*CLASS_SCORES], "completion": [*SCORES], "text": ["perplexity"]}[each.kind]
    if metric not in allowed:
        raise TaskError(
            f"task.metric is {metric!r}, the template {each.name!r} is a {each.kind} task; allowed "
            f"{', '.join(dict.fromkeys([*allowed, each.metric]))}; correct it, or leave it out"
        )
    each.metric = metric
    if each.kind == "completion":
        each.score = SCORES[metric]  # type: ignore[method-assign, assignment]


def _check(each: Template, label: str) -> None:
    """Refuse a prompt without a place for the text, and classes without words."""
    if each.prompt.count("{text}") != 1:
        raise TaskError(
            f"{label}.prompt {each.prompt!r} has {each.prompt.count('{text}')} times {{text}}; allowed once; "
            'write it like "{text} It was"'
        )
    if each.kind == "classification" and len(each.verbalizer) < 2:
        raise TaskError(
            f"{label}.verbalizer has {len(each.verbalizer)} labels; at least 2 are needed; add the missing labels"
        )
    if each.kind == "classification" and each.metric not in CLASS_SCORES:
        raise TaskError(f"{label}.metric is {each.metric!r}; allowed of classes {', '.join(CLASS_SCORES)}; correct it")


def _origin(each: Template) -> tuple[str, str]:
    return type(each).__module__, type(each).__qualname__
