"""What counts as a word, where a program fills in figures and names."""

import prose
import pytest

COUNTED = {
    "bert-imdb: a step takes 41.30 ms more": 6,
    "the loss is 1e-06, -0.2 % from base": 7,
    "fp32: 42 0 0 / 0 28 0": 2,
    "a step takes 41.30 ms (11.4 %) more: 32-bit other +49.57 ms (4 -> 14 launches), all else +0.54 ms": 7,
    "python 3.12.3, torch 2.11.0+cu130, driver 580.159.04": 1,
    "it moves data (between ranks 14 %, layer normalisation 9 %)": 4,
    "a: it has 31 operations: addmm in head is float32, was float16; clone (8x8) 1 -> 3 in head; and 2 more": 6,
    "bert-imdb: its name was one and is another -> which is no list": 12,
    "it is refused: expected a path, or two paths": 9,
}


@pytest.mark.parametrize(("sentence", "count"), COUNTED.items())
def test_a_figure_is_a_word_and_so_is_a_list_of_figures(sentence, count):
    assert prose.words(sentence) == count


def test_a_long_sentence_is_found_among_short_ones():
    long = " ".join(["word"] * prose.MOST_WORDS) + " `and code that counts as one`"
    assert prose.too_long([f"It is short. {long}. It ends.", f"| a cell | {long} |", f"- an item\n- {long}"]) == {
        f"{' '.join(['word'] * prose.MOST_WORDS)} x{end}": prose.MOST_WORDS + 1 for end in (".", "")
    }
