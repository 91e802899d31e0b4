"""What a word stands for when the same thing is said in other words: a number, a group of synonyms, or its stem."""

import re
from functools import cache

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_UNITS += " seventeen eighteen nineteen"
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
NUMBERS: dict[str, str] = {word: str(value) for value, word in enumerate(_UNITS.split())}
NUMBERS |= {word: str(value) for word, value in _TENS.items()}
NUMBERS |= {"hundred": "100", "thousand": "1000", "million": "1000000", "dozen": "12", "dozens": "12"}
NUMBERS |= {"half": "0.5", "halves": "0.5", "halved": "0.5", "quarter": "0.25", "quarters": "0.25", "third": "3"}
NUMBERS |= {"once": "1", "twice": "2", "double": "2", "doubled": "2", "doubles": "2", "pair": "2", "thrice": "3"}
NUMBERS |= {"triple": "3", "tripled": "3", "triples": "3", "quadruple": "4"}
_DIGITS = _UNITS.split()[1:10]

# Numbers of two words, with their digits: "twenty-five", "two hundred".
COMPOUND_NUMBERS: dict[str, str] = {
    f"{tens}{joint}{unit}": str(value + number)
    for tens, value in _TENS.items()
    for number, unit in enumerate(_DIGITS, 1)
    for joint in "- "
} | {
    f"{unit} {name}": str(number * size)
    for number, unit in enumerate(_DIGITS, 1)
    for name, size in (("hundred", 100), ("thousand", 1000))
}

_FUNCTION_WORDS = """
a about after again all also am among an and any are aren as at be because been before being but by can could did
didn do does doesn doing don down during each else ever every few for from further get gets getting give given gives
go goes going got had has hasn have haven having he her here hers him his how i if in into is isn it its itself just
let like ll make makes many may me might more most much must my need needs no nor not now of off on only onto or
other others our out over own per please put re s same she should so some still such t take takes than that the their
theirs them then there these they this those through thus to too under until up upon us use used uses using ve very
was wasn way we well went were what when where whether which while who whom whose why will with within without won
would you your yours
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())

# One line is one meaning; a word stands in one line. Everyday words of questions, tasks and sums, from general English.
_SYNONYMS = """
buy bought buying purchase purchased acquire acquired
sell sold selling vend
cost costs price priced prices fee charge charged charges
earn earned earns earning earnings income paid pay pays payment salary wage wages revenue
spend spent spends spending expense expenses
total altogether combined overall sum entire
left remain remains remained remaining remainder rest leftover
child kid kids children youngster youngsters
begin began begins beginning start started starts starting commence
finish finished end ended ends complete completed completes
house home residence
big large huge
small little tiny
daily day days
weekly week weeks
monthly month months
yearly annual annually year years
hourly hour hours
mother mom mum
father dad
brother sister sibling siblings brothers sisters
friend pal buddy friends
car vehicle automobile cars vehicles
phone smartphone cellphone cell mobile phones smartphones
present gift gifts presents
movie film movies films
shop store shops stores shopping
person people individual individuals guest guests customer customers
money cash dollar dollars buck bucks
own owns owned possess possesses possessed belong belongs belonging
speed rate pace
trip journey travel travels traveled travelling tour
walk walked walks stroll
eat ate eats eaten eating consume consumed consumes
see saw seen view observe observed observing
receive received receives obtain obtained obtains
answer reply respond response responds replies answers
write compose draft create craft writing composing
explain describe clarify discuss explanation description outline elaborate
list name enumerate lists listing
summarize summary summarise summarizing condense synopsis
improve enhance better boost improving improvement increase increasing
method technique strategy approach tip methods techniques strategies approaches tips tactic tactics
benefit advantage pros benefits advantages upside
drawback disadvantage cons drawbacks disadvantages downside
difference differ differs differences distinction distinctions distinguish contrast
important significant crucial essential vital key importance significance
effective efficient effectively efficiently
main primary chief major principal
find determine calculate compute figure calculating determining
implement code program develop build implementing coding build built construct constructing constructed
function method routine
return returns returning output outputs
rewrite rephrase reword paraphrase
formal formally professional professionally
story tale narrative
example instance illustration examples instances
reason cause causes reasons caused
effect impact consequence result results effects impacts consequences influence influences
happen occur occurs happened occurred
choose pick select chosen chooses selected
show demonstrate illustrate shows
help assist aid helps assists helped helping
keep maintain retain
fast quick rapid quickly rapidly fastest
job occupation employment work works worked working employed
company firm business enterprise corporation
doctor physician
lawyer attorney
teacher instructor professor
student pupil learner students pupils
country nation countries nations
picture image photo photograph pictures images photos
road street
boss manager supervisor
email mail e-mail emails
quit quitting resign resigning resignation
song track songs
generate produce produces produced produce
utilize employ
possible potential
common shared
average mean
equal equally evenly even
fewer less
extra additional
percent percentage
probability chance likelihood
old age aged older ages
young younger
long length
tall height
heavy weigh weighs weight
far distance
celebrate celebration party
split divide divided share shared splits
combat fight
motivate encourage inspire
popular well-liked favourite favorite
attempt try tries tried
"""


def _concepts() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in _SYNONYMS.strip().splitlines():
        first, *others = line.split()
        for word in (first, *others):
            found.setdefault(stem(word), first)
    return found


# Longest first; what is left must still be a word of three letters or more.
_SUFFIXES = ["ization", "isation", "fulness", "ousness", "iveness", "ations", "ation", "ments", "ities", "ingly"]
_SUFFIXES += ["ment", "ness", "ally", "able", "ible", "edly", "ing", "ies", "ied", "ity", "ion", "ers", "est"]
_SUFFIXES += ["ed", "es", "er", "ly", "al", "s", "e", "y"]
_ENDING = re.compile(rf"(?<=\w{{3}})(?:{'|'.join(_SUFFIXES)})$")
LEAST_STEMMED = 4  # a shorter word has no ending to lose


def stem(word: str) -> str:
    """A word without its English ending; words of other scripts have none and stay as they are."""
    if len(word) < LEAST_STEMMED or not word.isascii():
        return word
    short = _ENDING.sub("", word)
    if short.endswith("s") and len(short) > LEAST_STEMMED and not short.endswith("ss"):
        short = short[:-1]
    return short[:-1] if len(short) >= LEAST_STEMMED and short[-1] == short[-2] else short


@cache
def _known_concepts() -> dict[str, str]:
    return _concepts()


def concept_of(word: str) -> str:
    """What a lower-case word stands for: `#` and a number, or a name that words of the same meaning share."""
    if word in NUMBERS:
        return "#" + NUMBERS[word]
    if word[0].isdecimal():
        try:
            return f"#{float(word):.12g}"
        except ValueError:
            return word
    if word in FUNCTION_WORDS:
        return word
    short = stem(word)
    return _known_concepts().get(short, short)
