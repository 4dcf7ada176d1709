"""Writes names.txt: 3,200 invented names, one a line, each with the invented language it is from.
A name is two or three syllables of its language and sometimes an ending; three in ten names take
one syllable from another language, so that not every name gives its origin away.
"""

from pathlib import Path

import numpy as np

FILE = Path(__file__).resolve().parent / "names.txt"
NAMES_PER_LANGUAGE = 640
LONGEST = 12
LOAN_SHARE = 0.3

# onsets, vowels, codas and endings; an underscore is the empty one
LANGUAGES = {
    "aruvi": ("k l m n r s t v _", "a a e i o u", "_ _ n", "a i"),
    "brekk": ("b br d g gr h k kr t th", "a e i o y", "k kk n r rd s _", "ar un _"),
    "celui": ("c cl d l m p r s v _", "a ai e eu i ou", "_ _ l n s", "ette on in _"),
    "dzorv": ("b d dr k m sv v z dz", "a e i o u", "_ l m n r sk", "ov ek a _"),
    "qashi": ("ch h k m n q r s sh t y z", "a a i i u o", "_ _ n sh", "i an _"),
}


def pick(parts: str, rng: np.random.Generator) -> str:
    """One of the parts."""
    return str(rng.choice(parts.split())).replace("_", "")


def syllable(language: str, rng: np.random.Generator) -> str:
    """Onset, vowel and coda."""
    return "".join(pick(parts, rng) for parts in LANGUAGES[language][:3])


def name(language: str, rng: np.random.Generator) -> str:
    """A name that may hold one syllable of another language."""
    syllables = [syllable(language, rng) for _ in range(rng.integers(2, 4))]
    if rng.random() < LOAN_SHARE:
        lender = rng.choice([other for other in LANGUAGES if other != language])
        syllables[rng.integers(len(syllables))] = syllable(lender, rng)
    return "".join(syllables) + pick(LANGUAGES[language][3], rng)


def main() -> None:
    """Draw the names of each language in turn and write them."""
    rng = np.random.default_rng(0)
    origin: dict[str, str] = {}
    for language in LANGUAGES:
        wanted = len(origin) + NAMES_PER_LANGUAGE
        while len(origin) < wanted:
            candidate = name(language, rng)
            if 4 <= len(candidate) <= LONGEST:
                origin.setdefault(candidate, language)
    FILE.write_text("".join(f"{name},{language}\n" for name, language in origin.items()))


if __name__ == "__main__":
    main()
