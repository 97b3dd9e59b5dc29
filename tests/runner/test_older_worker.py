"""A base may be of an older commit, whose process knows fewer fields and refuses others.

`old_worker.jsonl` holds what the process of commit df7c56b said: that it is ready, a listing, and a timing with a profile.
"""

import json
import sys
from pathlib import Path

import pytest
import stub

from mpcore.kernels.difference import explain_difference
from mpcore.records import Case, Listing, Ready, Request, Selection, Timing
from mpcore.runner import Runner
from mpcore.runner.process import Process

SAID = (Path(__file__).parent / "old_worker.jsonl").read_text().splitlines()
CASE = Case(workload="bert-imdb", precision="fp32", size="tiny")
ECHO = "import sys; print(sys.argv[1]); open('sent', 'w').write(sys.stdin.readline())"


def exchanged(folder, record, said):
    """The line that a process is sent, and what is read of the line that it says."""
    process = Process([sys.executable, "-c", ECHO, said], folder, {})
    try:
        process.send(record)
        found = process.receive(60, "to say something")
        process._popen.wait(60)
        return (folder / "sent").read_text(), found
    finally:
        process.close()


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (Selection(), "{}"),
        (
            Selection(workloads=("bert-imdb",), size="tiny", device="cpu"),
            '{"workloads":["bert-imdb"],"size":"tiny","device":"cpu"}',
        ),
        (Request(), "{}"),
        (Request(case=CASE), '{"case":{"workload":"bert-imdb","precision":"fp32","size":"tiny"}}'),
        (
            Request(case=stub.case("a").model_copy(update={"batch_size": 8}), profile=True),
            '{"case":{"workload":"a","precision":"fp32","execution":"graph","size":"full","batch_size":8},"profile":true}',
        ),
    ],
    ids=["everything", "selected", "listing", "timing", "profile"],
)
def test_it_is_sent_no_field_that_has_its_default(tmp_path, record, line):
    """It refuses those that it does not know."""
    assert exchanged(tmp_path, record, SAID[0]) == (f"{line}\n", Ready())


def test_its_listing_is_read(tmp_path):
    _, listing = exchanged(tmp_path, Request(), SAID[1])
    assert isinstance(listing, Listing)
    assert [case.id for case, _ in listing.cases] == ["bert-imdb-fp32-eager-tiny", "bert-imdb-tf32-eager-tiny"]
    assert listing.cases[0][0] == CASE
    assert "trainer" not in json.loads(SAID[1])["cases"][0][0]
    assert (listing.machine.hardware.device, listing.own) == ("cpu", True)
    assert listing.kinds == ("timing", "speed")


def test_its_timing_is_read_without_what_is_not_known_here(tmp_path):
    _, timing = exchanged(tmp_path, Request(case=CASE, profile=True), SAID[2])
    assert isinstance(timing, Timing)
    assert timing.case == CASE
    assert timing.blocks.step_seconds > 0
    listed = json.loads(SAID[2])["profile"]
    assert len(timing.profile.kernels) == len(listed["kernels"])
    assert timing.profile.rest.count == pytest.approx(listed["rest"]["count"])
    assert explain_difference(timing.profile, timing.profile).endswith("of device time, as before")


def test_it_is_measured_like_any_other(tmp_path):
    """With what its responses lack left at the defaults."""
    listing, timing = (json.loads(line) for line in SAID[1:])
    tree = stub.tree(tmp_path, {"bert-imdb": 0.001}, listing=listing, answers={"bert-imdb": timing})
    with Runner(tree, Selection()) as runner:
        (case, _), _ = runner.listing().cases
        measured = runner.measure([case])
    assert measured[case].blocks.step_seconds == pytest.approx(0.001, rel=1e-3)
