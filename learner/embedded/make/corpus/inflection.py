"""English endings by rule, for the verbs and adverbs of the lexicon."""


def words(text: str) -> list[str]:
    """Split a word list."""
    return text.split()


IRREGULAR = dict(
    pair.split(":")
    for pair in words("""
begin:began blow:blew bring:brought build:built buy:bought cast:cast catch:caught choose:chose come:came
deal:dealt draw:drew eat:ate fall:fell feel:felt fight:fought find:found fit:fit forget:forgot
forgive:forgave get:got give:gave go:went grow:grew hang:hung hear:heard hide:hid hold:held keep:kept
know:knew lay:laid lead:led leave:left lend:lent let:let live:lived lose:lost make:made mean:meant meet:met
pay:paid put:put quit:quit read:read retell:retold rewrite:rewrote ride:rode ring:rang run:ran see:saw
seek:sought sell:sold set:set shed:shed shine:shone shoot:shot show:showed shut:shut sing:sang sink:sank
slide:slid speak:spoke spend:spent spin:spun split:split spread:spread steal:stole stick:stuck stink:stank
strike:struck sweep:swept take:took teach:taught tear:tore tell:told think:thought throw:threw
understand:understood wear:wore weave:wove win:won write:wrote
""")
)

DOUBLING = frozenset(
    words("""
abhor admit bog con cut drag drop flop forget get grip hit hum kidnap lag let pat plan plod plot put quit
regret rip rob run sag scan set shut sit slip spin split stir stop trap trim win wrap
""")
)
VOWELS = "aeiou"


def _on_first_word(entry: str, ending: str) -> str:
    _, separator, tail = entry.partition("_")
    return ending + separator + tail


def third_person(verb: str) -> str:
    """``bore`` → ``bores``; of a phrase the first word changes."""
    head = verb.partition("_")[0]
    if head.endswith(("s", "sh", "ch", "x", "z", "o")):
        return _on_first_word(verb, head + "es")
    if head.endswith("y") and head[-2] not in VOWELS:
        return _on_first_word(verb, head[:-1] + "ies")
    return _on_first_word(verb, head + "s")


def past(verb: str) -> str:
    """``bore`` → ``bored``, ``find`` → ``found``."""
    head = verb.partition("_")[0]
    if head in IRREGULAR:
        return _on_first_word(verb, IRREGULAR[head])
    if head.endswith("e"):
        return _on_first_word(verb, head + "d")
    if head.endswith("y") and head[-2] not in VOWELS:
        return _on_first_word(verb, head[:-1] + "ied")
    return _on_first_word(verb, head + (head[-1] if head in DOUBLING else "") + "ed")


def gerund(verb: str) -> str:
    """``bore`` → ``boring``."""
    head = verb.partition("_")[0]
    if head.endswith("ie"):
        return _on_first_word(verb, head[:-2] + "ying")
    if head.endswith("e") and not head.endswith("ee"):
        return _on_first_word(verb, head[:-1] + "ing")
    return _on_first_word(verb, head + (head[-1] if head in DOUBLING else "") + "ing")


def adverb(adjective: str) -> str:
    """``clever`` → ``cleverly``, ``predictable`` → ``predictably``."""
    if adjective.endswith("ly") or "_" in adjective:
        return adjective
    if adjective.endswith("ic"):
        return adjective + "ally"
    if adjective.endswith("le") and adjective[-3] not in VOWELS:
        return adjective[:-1] + "y"
    if adjective.endswith("y"):
        return adjective[:-1] + "ily"
    if adjective.endswith("ll"):
        return adjective + "y"
    return adjective + "ly"
