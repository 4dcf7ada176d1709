"""Writes text.txt: about 90,000 characters of plain English about life around a harbour, made by
a small grammar written for this purpose. A paragraph follows one person, named or taken up by
a pronoun that fits, and no paragraph is written twice.
"""

from pathlib import Path

import numpy as np

FILE = Path(__file__).resolve().parent / "text.txt"
CHARACTERS = 90_000

PEOPLE = {
    "the old sailor": "he",
    "the baker": "she",
    "my uncle": "he",
    "the lighthouse keeper": "he",
    "the schoolteacher": "she",
    "the carpenter": "he",
    "her sister": "she",
    "the ferry captain": "she",
    "the young clerk": "he",
    "the gardener": "she",
    "the watchmaker": "he",
    "our neighbour": "she",
}

# alternatives, parted by slashes
ADJECTIVES = (
    "small/heavy/wooden/broken/bright/silver/painted/empty/narrow/quiet/rusty/warm/yellow/"
    "forgotten/folded"
)
THINGS = (
    "lantern/rope/basket/letter/kettle/barrel/clock/ladder/coat/map/bell/bottle/chair/net/"
    "key/mirror/hammer/loaf/compass/blanket"
)
PLACES = (
    "on the pier/behind the church/in the market/under the bridge/near the mill/"
    "by the window/beside the boats/at the edge of the wood/in the back room/"
    "along the sea wall/above the harbour/below the cliff"
)
TIMES = (
    "in the morning/before breakfast/after the storm/at dusk/on the first day of spring/"
    "when the tide was low/late in the evening/while the rain fell/during the long winter/"
    "as soon as the bell rang/once the shops had closed/without a word"
)
DEEDS = (
    "carried/found/mended/sold/borrowed/cleaned/hid/painted/dropped/remembered/wanted/"
    "measured/wrapped/opened"
)
FEELINGS = "tired/happy/late/hungry/proud/worried/silent/certain/curious/cold"
SKIES = (
    "the wind had turned to the north/a thin fog lay over the water/the gulls were loud/"
    "the lamps were being lit/snow covered the roofs/the sea was as flat as glass/"
    "nobody was in the street/the clouds moved slowly inland"
)


class Grammar:
    """Draws words, sentences and paragraphs from one seeded generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, alternatives: str) -> str:
        """One of the alternatives."""
        options = alternatives.split("/")
        return options[self.rng.integers(len(options))]

    def thing(self) -> str:
        """A noun with an article and perhaps an adjective."""
        words = [self.pick(THINGS)]
        if self.rng.random() < 0.6:
            words.insert(0, self.pick(ADJECTIVES))
        article = self.pick("the/a")
        return " ".join(["an" if article == "a" and words[0][0] in "aeiou" else article, *words])

    def deed(self) -> str:
        """A verb in the past tense and its object."""
        return f"{self.pick(DEEDS)} {self.thing()}"

    def sentence(self, subject: str, person: str) -> str:
        """One sentence on `person`, who is named by `subject`."""
        pronoun = PEOPLE[person]
        match self.rng.integers(6):
            case 0:
                text = f"{subject} {self.deed()} {self.pick(PLACES)}"
            case 1:
                text = f"{self.pick(TIMES)}, {subject} {self.deed()}"
            case 2:
                text = f"{subject} was {self.pick(FEELINGS)}, so {pronoun} {self.deed()}"
            case 3:
                text = f"{self.pick(SKIES)}, but {subject} {self.deed()} {self.pick(PLACES)}"
            case 4:
                text = f"{subject} {self.deed()} and {self.deed()}"
            case _:
                other = self.pick("/".join(name for name in PEOPLE if name != person))
                text = f"{subject} asked {other} for {self.thing()}, {self.pick(TIMES)}"
        return text[0].upper() + text[1:] + "."

    def paragraph(self) -> str:
        """Three to six sentences on one person."""
        person = self.pick("/".join(PEOPLE))
        later = (self.pick(f"{person}/{PEOPLE[person]}") for _ in range(self.rng.integers(2, 6)))
        return " ".join(self.sentence(subject, person) for subject in [person, *later])


def main() -> None:
    """Write paragraphs until there are enough characters."""
    grammar = Grammar(seed=0)
    paragraphs: dict[str, None] = {}
    while sum(len(paragraph) + 1 for paragraph in paragraphs) < CHARACTERS:
        paragraphs.setdefault(grammar.paragraph())
    FILE.write_text("".join(f"{paragraph}\n" for paragraph in paragraphs))


if __name__ == "__main__":
    main()
