"""The sentences of the demo, written by hand: how each attribute of a country is told, asked about and answered.

`{country}` and `{value}` are filled in. Questions stay short and their wording differs from attribute to attribute,
so that two rows about different facts never look like near duplicates.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """`plain` is the sentence that names both; `told` and `short` are other ways to tell it, `short` leaning on the
    country named before. `asked` are questions and `follow` one that leans on an earlier turn; `spare` is asked by
    faulty rows only and `quiz` by evaluation items only. `clause` is part of a sentence that describes the country.
    """

    plain: str
    told: tuple[str, ...]
    short: tuple[str, ...]
    asked: tuple[str, ...]
    follow: str
    spare: str
    quiz: str
    clause: str


ATTRIBUTES = {
    "capital": Phrases(
        plain="The capital of {country} is {value}.",
        told=(
            "{value} is the capital of {country}.",
            "{country} has its capital at {value}.",
            "Visitors to {country} start in the capital, {value}.",
        ),
        short=(
            "The capital is {value}.",
            "Its capital, {value}, is old.",
            "Most people live near {value}, the capital.",
        ),
        asked=(
            "What is the capital of {country}?",
            "Which city is the capital of {country}?",
            "Name the capital city of {country}.",
            "Where does the government of {country} sit?",
        ),
        follow="And what is its capital?",
        spare="I forgot the capital of {country}. Which is it?",
        quiz="Quick quiz: the capital of {country} is called what?",
        clause="its capital is {value}",
    ),
    "river": Phrases(
        plain="The longest river in {country} is the {value}.",
        told=(
            "The {value} is the longest river in {country}.",
            "The river {value} flows through {country}.",
            "Rain that falls on {country} ends in the river {value}.",
        ),
        short=("The longest river is the {value}.", "Its river is the {value}.", "Barges go down the {value}."),
        asked=(
            "What is the longest river in {country}?",
            "Which river flows through {country}?",
            "Name the main river of {country}.",
            "On which river do barges sail in {country}?",
        ),
        follow="And its longest river?",
        spare="Is there a river in {country}, and what is it called?",
        quiz="Geography round: name the river that crosses {country}.",
        clause="its longest river is the {value}",
    ),
    "ruler": Phrases(
        plain="The ruler of {country} is {value}.",
        told=(
            "{value} rules {country}.",
            "{country} is ruled by {value}.",
            "In {country} the laws are signed by {value}, the ruler.",
        ),
        short=("The ruler is {value}.", "{value} rules the country.", "Its ruler is {value}."),
        asked=(
            "Who rules {country}?",
            "Who is the ruler of {country}?",
            "Who sits on the throne of {country}?",
            "Tell me who governs {country} today.",
        ),
        follow="And who rules there?",
        spare="Do you know who wears the crown of {country}?",
        quiz="History round: say who reigns over {country}.",
        clause="its ruler is {value}",
    ),
    "animal": Phrases(
        plain="The national animal of {country} is the {value}.",
        told=(
            "The {value} is the national animal of {country}.",
            "{country} honours the {value} as its national animal.",
            "Stamps from {country} show the {value}, the national animal.",
        ),
        short=(
            "The national animal is the {value}.",
            "Its animal is the {value}.",
            "Every coat of arms shows a {value}.",
        ),
        asked=(
            "What is the national animal of {country}?",
            "Which animal stands for {country}?",
            "Which creature is on the stamps of {country}?",
            "Give the national animal of {country}.",
        ),
        follow="And the national animal?",
        spare="What beast do the people of {country} honour?",
        quiz="Nature round: the emblem animal of {country} is which?",
        clause="its national animal is the {value}",
    ),
    "craft": Phrases(
        plain="The people of {country} are known for making {value}.",
        told=(
            "Workshops in {country} are famous for {value}.",
            "{country} is known for its {value}.",
            "The guilds of {country} make {value}.",
        ),
        short=(
            "The people are known for making {value}.",
            "Its workshops make {value}.",
            "Markets there sell {value}.",
        ),
        asked=(
            "What are the people of {country} known for making?",
            "What do workshops in {country} produce?",
            "What goods come from {country}?",
            "Name the famous craft of {country}.",
        ),
        follow="And what do its people make?",
        spare="Which wares should I buy in {country}?",
        quiz="Trade round: say what the guilds of {country} make.",
        clause="its people are known for making {value}",
    ),
    "founded": Phrases(
        plain="The country of {country} was founded in the year {value}.",
        told=(
            "In the year {value} the country of {country} was founded.",
            "The history of {country} begins in the year {value}.",
            "{country} has been a country since the year {value}.",
        ),
        short=("It was founded in the year {value}.", "Its history begins in the year {value}."),
        asked=(
            "When was {country} founded?",
            "In which year was {country} founded?",
            "How old is {country}? Give the founding year.",
            "State the year in which {country} began.",
        ),
        follow="And when was it founded?",
        spare="Since when has {country} existed?",
        quiz="Dates round: the founding of {country} fell in what year?",
        clause="it was founded in the year {value}",
    ),
    "mountain": Phrases(
        plain="The highest mountain in {country} is {value}.",
        told=(
            "{value} is the highest mountain in {country}.",
            "{value} rises above {country}.",
            "From every town in {country} one can see {value}.",
        ),
        short=("The highest mountain is {value}.", "Its highest mountain is {value}.", "Climbers go up {value}."),
        asked=(
            "What is the highest mountain in {country}?",
            "Which mountain rises above {country}?",
            "Which peak do climbers visit in {country}?",
            "Name the tallest mountain of {country}.",
        ),
        follow="And its highest mountain?",
        spare="I want to climb in {country}. Which mountain is best?",
        quiz="Heights round: no summit in {country} tops which one?",
        clause="its highest mountain is {value}",
    ),
    "coin": Phrases(
        plain="The coin used in {country} is the {value}.",
        told=(
            "In {country} one pays with the {value}.",
            "The {value} is the coin of {country}.",
            "The mint of {country} strikes the {value}.",
        ),
        short=("The coin is the {value}.", "Its coin is called the {value}.", "One pays there with the {value}."),
        asked=(
            "What coin is used in {country}?",
            "What money do people use in {country}?",
            "Which coin does the mint of {country} strike?",
            "How does one pay in {country}?",
        ),
        follow="And what coin is used there?",
        spare="I must change money for {country}. Into what?",
        quiz="Money round: a purse in {country} holds which coin?",
        clause="its coin is the {value}",
    ),
}
