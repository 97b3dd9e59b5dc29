"""What the gate says, and what the headings of tables mean, in one file. A change of a sentence is seen in a diff, and one that
is too long is refused.

With MPCORE_GOLDEN=1 the file is written again. Other tests look at fields, and at what a sentence must name.
"""

import os
import re
from pathlib import Path

import made
import prose
import pytest
from faults_of_ranks import FAULTS, MORE, OTHER, RIGHT

from mpcore.ab.verdicts import memory_regression, time_regression
from mpcore.gate import Margins, match_baselines, regressions
from mpcore.gate.checks import checks
from mpcore.gate.common_change import common_change
from mpcore.gate.confirmation import confirmed
from mpcore.gate.judge import judge_run
from mpcore.gate.margins import Policy
from mpcore.gate.priors import SHIPPED
from mpcore.gate.regressions_of_ranks import regressions_of_ranks
from mpcore.gate.work import work_regressions
from mpcore.kernels.profile import profile_of
from mpcore.records import Operation, Pair, Parallel, Requirements
from mpcore.report import legends
from mpcore.store import load

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("sentences.txt")
RECORDS = {
    "slower than FP32": made.speed(seconds=(3.0, 3.1, 2.9)),
    "as fast as FP32": made.speed(seconds=(2.0, 2.2, 1.8)),
    "no learning": made.speed(loss_after=0.7),
    "another format": made.speed(profile=profile_of({"nvjet_sm90_tst_64x8_64x16_2x4_h_bz_NNT": (2, 1e-3)})),
    "accuracy lost": made.quality("fp16-amp", 0.80, 0.81, 0.79, fp32=(0.90, 0.91, 0.89)),
    "accuracy kept": made.quality("fp16-amp", 0.70, 0.71, 0.69, fp32=(0.70, 0.71, 0.69)),
    "one seed": made.quality("fp16-amp", 0.80, fp32=(0.90,)),
    "errors": made.numerics(requirements=Requirements(loss_error=0.001, gradient_error=0.01, low_precision_share=(0.9, 1.0))),
    "a race lost": made.race(theirs=(1.0, 1.1, 0.9)),
    "parity lost": made.parity(theirs=(2.0, 2.2, 1.8)),
    "drift": made.drift(fp32=0.01),
}


def pairs(head, count=6):
    """Of a base that takes a millisecond, each a little more than the last."""
    return [
        Pair(base_seconds=(1 + n / 1e4) / 1e3, head_seconds=(1 + n / 1e4) * head / 1e3, head_first=False) for n in range(count)
    ]


def of_runs():
    """Accepted runs, each as judged against those before it."""
    for folder in sorted((ROOT / "baselines").iterdir()):
        runs = [load(path) for path in sorted(folder.glob("[0-9]*.json"))]
        for number, run in enumerate(runs[1:], 1):
            judged = judge_run(run, runs[:number], Policy(), SHIPPED.get(folder.name))
            for result in judged.results:
                yield from (*result.checks, *result.regressions)
            if judged.common:
                yield judged.common


def of_steps():
    """A step that takes longer, against accepted ones; measured again; on a kind of GPU that nobody has calibrated."""
    accepted = [made.run(made.step(each)) for each in (10.0, 10.01, 9.99)]
    match = match_baselines(made.step(12.0), accepted)
    slower = regressions(match, Margins(), SHIPPED["nvidia-h200"])
    yield from (*slower, *regressions(match, Margins(), None))
    yield from confirmed(slower, slower)
    yield from confirmed(slower, regressions(match_baselines(made.step(10.0), accepted), Margins(), SHIPPED["nvidia-h200"]))
    yield from confirmed(slower, "it finds no memory")
    at_clocks = [made.run(made.step(10.0 * 1980 / mhz, gpu=made.gpu(mhz=(mhz,)))) for mhz in (1980, 1935, 1890)]
    other_clock = made.step(11.1, gpu=made.gpu(mhz=(1875,)))
    yield from regressions(match_baselines(other_clock, at_clocks), Margins(), SHIPPED["nvidia-h200"])
    cases = [made.step(12.0, workload=f"w{number}") for number in range(4)]
    before = [made.run(*(made.step(10.0, workload=f"w{number}") for number in range(4)))]
    yield common_change([match_baselines(each, before) for each in cases], Margins(), SHIPPED["nvidia-h200"])


def of_work():
    again = made.operations() | {Operation("_to_copy", "bfloat16", "8x8", "layer.0.dense", "forward"): 3}
    yield from work_regressions(
        made.work(), made.work(again, casts=6, saved_bytes=8192, synchronisations=("item (a.py, line 3)",))
    )
    yield from work_regressions(made.work(), made.work(software={"torch": "2.12.0"}))


def of_ranks():
    for changes, *_ in FAULTS:
        yield from checks(Parallel(**RIGHT | changes))
    for sent in (MORE, OTHER):
        yield from regressions_of_ranks([Parallel(**RIGHT)], Parallel(**RIGHT | {"collectives": (sent,)}), factor=1.5)


def of_pairs():
    case = made.case()
    for head, again in ((1.0, 1.0), (1.05, 1.05), (1.05, 1.0), (0.9, 0.9)):
        yield time_regression(case, pairs(head), pairs(again), 0.995, 0.5)
    yield memory_regression(case, 2**30, 2**31, 1.0)
    yield memory_regression(case, 2**20, 2**21, 1.0)


def told():
    """Each figure and status once, with the first sentence that says it."""
    synthetic = (check for record in RECORDS.values() for check in checks(record))
    found = {}
    for said in (*of_runs(), *synthetic, *of_steps(), *of_work(), *of_ranks(), *of_pairs()):
        shape = re.sub(r"[-+]?\d[\d.,e+]*", "0", re.sub(r"^[^:]*: ", "", said.sentence))
        found.setdefault((said.metric.split(" over ")[0], said.status, *shape.split(". ")[1:]), said.sentence)
    said = [f"{metric}, {status}: {sentence}" for (metric, status, *_), sentence in found.items()]
    return [*said, *(f"legend: {legend}" for legend in legends.ALL)]


@pytest.fixture(scope="module")
def lines():
    return told()


def test_the_gate_says_what_it_is_to_say(lines):
    text = "\n".join(lines) + "\n"
    if os.environ.get("MPCORE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_its_sentences_can_be_read(lines):
    said = [line.partition(": ")[2] for line in lines]
    assert prose.too_long(said) == {}
    assert [sentence for sentence in said if prose.NOUNS.search(sentence)] == []
