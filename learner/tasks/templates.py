"""What a task is: how rows become prompts, and how answers are scored; no torch here, so that names are known at once.

A task of one's own is a class like those below, with `register` (learner/tasks/registry.py) above it.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from learner.config import TaskKind
from learner.tasks.scores import SCORES, words_agree

_INTENTS = """
    activate_my_card age_limit apple_pay_or_google_pay atm_support automatic_top_up
    balance_not_updated_after_bank_transfer balance_not_updated_after_cheque_or_cash_deposit beneficiary_not_allowed
    cancel_transfer card_about_to_expire card_acceptance card_arrival card_delivery_estimate card_linking
    card_not_working card_payment_fee_charged card_payment_not_recognised card_payment_wrong_exchange_rate
    card_swallowed cash_withdrawal_charge cash_withdrawal_not_recognised change_pin compromised_card
    contactless_not_working country_support declined_card_payment declined_cash_withdrawal declined_transfer
    direct_debit_payment_not_recognised disposable_card_limits edit_personal_details exchange_charge exchange_rate
    exchange_via_app extra_charge_on_statement failed_transfer fiat_currency_support get_disposable_virtual_card
    get_physical_card getting_spare_card getting_virtual_card lost_or_stolen_card lost_or_stolen_phone
    order_physical_card passcode_forgotten pending_card_payment pending_cash_withdrawal pending_top_up
    pending_transfer pin_blocked receiving_money Refund_not_showing_up request_refund reverted_card_payment?
    supported_cards_and_currencies terminate_account top_up_by_bank_transfer_charge top_up_by_card_charge
    top_up_by_cash_or_cheque top_up_failed top_up_limits top_up_reverted topping_up_by_card
    transaction_charged_twice transfer_fee_charged transfer_into_account transfer_not_received_by_recipient
    transfer_timing unable_to_verify_identity verify_my_identity verify_source_of_funds verify_top_up
    virtual_card_not_working visa_or_mastercard why_verify_identity wrong_amount_of_cash_received
    wrong_exchange_rate_for_cash_withdrawal
"""

Split = Literal["train", "test"]
Row = Mapping[str, object]
"""One example by name of column: text as `str`, a label as `str` or `int`; of a completion, also a list of answers."""


class Template:
    """How a row is read, asked and scored; what a subclass leaves out is that of plain two-column data."""

    name: str
    """What `task.template` calls it."""
    kind: TaskKind = "classification"
    """classification: the word after the prompt; completion: the answer after it; text: every token."""
    prompt: str = "{text}"
    """{text} stands for the column `text_key`, any other {name} for the column of that name."""
    verbalizer: Mapping[str, str] = {}
    """Label as written -> word that the model should say; needed for classification only."""
    text_key: str = "text"
    label_key: str = "label"
    max_tokens: int = 64
    """Longest encoded example, unless `task.max_tokens` says so."""
    max_new_tokens: int = 32
    """Longest completion at evaluation, unless `task.max_new_tokens` says so."""
    metric: str = "accuracy"
    """What the score is called: accuracy or macro_f1 of classes, the mean of `score` of completions, of plain text
    perplexity; `task.metric` may name another."""
    no_answer: str | None = None
    """Of a completion: what the model should say where a row has an empty list of answers; None: no row may."""

    def rows(self, path: str, split: Split) -> Iterable[Row] | None:
        """Rows of a split, where `task.path` means something else than files or a data set of the hub (None)."""
        return None

    def score(self, made: str, answer: str) -> float:
        """How good a completion is, 0 to 1, against one accepted answer; here, whether the words are the same."""
        return words_agree(made, answer)


class Sst2(Template):
    """Reviews, bad or good."""

    name = "sst2"
    prompt = "{text} It was"
    verbalizer: Mapping[str, str] = {"0": " terrible", "1": " great"}
    text_key = "sentence"


class Rte(Template):
    """Whether a premise entails a hypothesis."""

    name = "rte"
    prompt = "{text}\nQuestion: {hypothesis} Yes or No?\nAnswer:"
    verbalizer: Mapping[str, str] = {"entailment": " Yes", "not_entailment": " No"}
    text_key = "premise"


class BoolQ(Template):
    """Yes-or-no questions about a passage."""

    name = "boolq"
    prompt = "{text}\nQuestion: {question}?\nAnswer:"
    verbalizer: Mapping[str, str] = {"True": " Yes", "False": " No"}
    text_key = "passage"
    label_key = "answer"


class YahooAnswers(Template):
    """Topics of questions, numbered in this order."""

    name = "yahoo_answers"
    prompt = "{text}\nTopic:"
    verbalizer: Mapping[str, str] = {
        "0": " Society",
        "1": " Science",
        "2": " Health",
        "3": " Education",
        "4": " Computers",
        "5": " Sports",
        "6": " Business",
        "7": " Entertainment",
        "8": " Family",
        "9": " Politics",
    }
    text_key = "question_title"
    label_key = "topic"


class Banking77(Template):
    """What customers of a bank want, in one of 77 classes, whose words have several tokens."""

    name = "banking77"
    prompt = "Customer: {text}\nIntent:"
    verbalizer: Mapping[str, str] = {each: " " + each.replace("_", " ") for each in _INTENTS.split()}
    label_key = "category"
    max_tokens = 160


class Squad(Template):
    """Answers that stand in a passage."""

    name = "squad"
    kind = "completion"
    prompt = "{text}\nQuestion: {question}\nAnswer:"
    text_key = "context"
    label_key = "answers"
    metric = "f1"

    def score(self, made: str, answer: str) -> float:
        """F1 over words."""
        return SCORES[self.metric](made, answer)


class SquadV2(Squad):
    """The same, and some passages do not answer: then the model should say so."""

    name = "squad_v2"
    no_answer = "unanswerable"


class Gsm8k(Template):
    """Sums whose last number is the answer."""

    name = "gsm8k"
    kind = "completion"
    prompt = "Question: {text}\nAnswer:"
    text_key = "question"
    label_key = "answer"
    metric = "answer_accuracy"
    max_tokens = 1024
    max_new_tokens = 512

    def score(self, made: str, answer: str) -> float:
        """Whether both end in the same number."""
        return SCORES[self.metric](made, answer)


class PlainText(Template):
    """Text, one token after the other."""

    name = "text"
    kind = "text"
    metric = "perplexity"
