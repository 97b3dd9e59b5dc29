import json
import multiprocessing
import os

import pytest

from mpcore.store import RunError, accept, accepted

TEST = "benchmarks/test_numerics.py::test_numerics[bert-imdb-fp16-amp-eager-tiny]"
CASE = "bert-imdb-fp16-amp-eager-tiny"
ENOSPC = OSError(28, "No space left on device")


def refusal(files, folder, reason="a reason", **options):
    """The message with which a run is refused, which is to be one sentence, and with which nothing changes."""
    before = contents(folder)
    with pytest.raises(RunError) as caught:
        accept(files, folder, reason, **options)
    assert contents(folder) == before
    message = str(caught.value)
    assert "\n" not in message
    return message


def contents(folder):
    return {path: path.read_text() for path in folder.rglob("*") if path.is_file()}


def names(folder):
    return [path.name for path in sorted((folder / "some-cpu-2-cores").iterdir())]


@pytest.fixture
def run(content, saved):
    """Saves a run of its own time, and says where."""

    def run(second=0, commit="0123456789abcdef", failed=()):
        changes = {"datetime": f"2026-01-02T03:04:{second:02}+00:00", "commit_info": {"id": commit}}
        told = [{"test": test, "sentence": f"{test} is worse"} for test in failed]
        return saved(content | changes | {"mpcore": content["mpcore"] | {"failed": told}}, f"run{second}.json")

    return run


def test_the_whole_file_is_kept_with_one_key_more(run, folder, hardware):
    new, old = accept([run()], folder, "  the\n first ")
    assert (new, old) == ([folder / "some-cpu-2-cores" / "0001_01234567.json"], [])
    written = json.loads(new[0].read_text())
    why = written["mpcore"].pop("accepted")
    assert written == json.loads(run().read_text())
    assert (why["reason"], why["overruled"]) == ("the first", [])
    assert accepted(folder, hardware)[0].accepted.model_dump(mode="json") == why


@pytest.mark.parametrize(
    ("commit", "name"), [(None, "unversioned"), ("abc", "abc"), ("../../etc/passwd", "etcpassw"), ("..", "unversioned")]
)
def test_the_commit_is_a_part_of_the_name(run, folder, commit, name):
    accept([run(commit=commit)], folder, "a reason")
    assert names(folder) == [f"0001_{name}.json"]


def test_numbers_go_on_from_the_largest(content, run, stored, folder):
    stored(content, "0041_abc.json")
    accept([run(1)], folder, "a reason")
    accept([run(2)], folder, "a reason")
    assert names(folder) == ["0041_abc.json", "0042_01234567.json", "0043_01234567.json"]


def test_several_are_accepted_in_the_order_in_which_they_were_measured(run, folder, hardware):
    accept([run(9), run(1), run(5)], folder, "a reason")
    assert [r.datetime[17:19] for r in accepted(folder, hardware)] == ["01", "05", "09"]


def test_each_machine_has_its_own(run, saved, folder):
    content = json.loads(run().read_text())
    content["machine_info"]["mpcore"]["hardware"]["cores"] = 8
    other = saved(content, "other.json")
    accept([run(1), other], folder, "a reason")
    assert sorted(path.parent.name for path in contents(folder)) == ["some-cpu-2-cores", "some-cpu-8-cores"]


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_reason_is_needed(run, folder, reason):
    assert refusal([run()], folder, reason) == "nothing is accepted without a reason"


def test_a_run_that_was_ended_early_is_refused(content, saved, folder):
    content["mpcore"]["missed"] = 2
    path = saved(content)
    assert refusal([path], folder) == f"{path} was ended before it reached 2 of its cases, and is no reference for them"


def test_a_run_without_results_is_refused(content, saved, folder):
    del content["benchmarks"][0]
    path = saved(content)
    assert refusal([path], folder) == f"{path} has no results: nothing in it could be compared with"


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_all_are_read_before_one_is_written(run, tmp_path, folder, text):
    bad = tmp_path / "bad.json"
    if text is not None:
        bad.write_text(text)
    assert str(bad) in refusal([run(), bad], folder)
    assert not folder.exists()


def test_a_run_that_failed_is_refused(run, folder):
    path = run(failed=[TEST])
    message = refusal([path], folder)
    assert message.startswith(f"{path} has failures, and a failed run is no reference: {CASE} (the first: {TEST} is worse)")


def test_why_it_failed_is_told_on_one_line(content, saved, folder):
    content["mpcore"]["failed"] = [{"test": TEST, "sentence": "it is worse\n  and " + "worse " * 1000}]
    assert "(the first: it is worse and worse worse" in (message := refusal([saved(content)], folder))
    assert len(message) < 1000


def test_a_reason_that_is_no_text_is_kept_as_far_as_it_is(run, folder, hardware):
    accept([run()], folder, "caf\udce9 au lait")
    assert accepted(folder, hardware)[0].accepted.reason == "caf? au lait"


def test_a_verdict_that_fails_is_a_failure(content, saved, folder):
    verdict = {"kind": "numerics", "case": CASE, "metric": "loss error", "status": "worse", "value": 1, "limit": 0}
    content["benchmarks"][0]["extra_info"]["mpcore"]["verdicts"] = [verdict | {"sentence": "it is worse"}]
    path = saved(content)
    assert f"{CASE} (the first: it is worse)" in refusal([path], folder)
    accept([path], folder, "a reason", overrule=[CASE])
    assert len(contents(folder)) == 1


@pytest.mark.parametrize("name", [CASE, f"numerics:{CASE}", TEST])
def test_a_failure_is_overruled_by_its_name(run, folder, hardware, name):
    accept([run(failed=[TEST])], folder, "a reason", overrule=[name])
    (baseline,) = accepted(folder, hardware)
    assert baseline.accepted.overruled == (TEST,)


def test_each_failure_is_named(run, folder):
    path = run(failed=[TEST, "test_speed[a]", "test_speed[b]"])
    message = refusal([path], folder, overrule=[CASE])
    assert ": a, b (the first: test_speed[a] is worse)" in message
    accept([path], folder, "a reason", overrule=[CASE, "a", "b"])


def test_a_case_that_failed_in_two_kinds_is_told_apart(run, folder, hardware):
    speed = f"benchmarks/test_speed.py::test_speed[{CASE}]"
    path = run(failed=[TEST, speed])
    assert f": numerics:{CASE}, speed:{CASE} (the first" in refusal([path], folder)
    assert refusal([path], folder, overrule=[CASE]) == f"{path}: {CASE!r} is one of numerics:{CASE}, speed:{CASE}: say which"
    accept([path], folder, "a reason", overrule=[f"speed:{CASE}", f"numerics:{CASE}"])
    assert accepted(folder, hardware)[0].accepted.overruled == (TEST, speed)


def test_a_test_of_no_case_is_overruled_by_its_node_id(run, folder):
    accept(
        [run(failed=["benchmarks/test_own.py::test_own"])], folder, "a reason", overrule=["benchmarks/test_own.py::test_own"]
    )
    assert len(contents(folder)) == 1


@pytest.mark.parametrize(("failed", "listed"), [((), "nothing"), ((TEST,), CASE)])
def test_a_name_of_nothing_that_failed_is_refused(run, folder, failed, listed):
    message = refusal([run(failed=failed)], folder, overrule=["bert-imbd"])
    assert message == f"nothing that failed is called 'bert-imbd'; what failed: {listed}"


def test_a_name_may_be_of_a_failure_in_one_of_several_runs(run, folder, hardware):
    accept([run(1), run(2, failed=[TEST])], folder, "a reason", overrule=[CASE])
    assert [r.accepted.overruled for r in accepted(folder, hardware)] == [(), (TEST,)]


def anew(folder, hardware):
    return [r.accepted.anew for r in accepted(folder, hardware)]


@pytest.mark.parametrize("pattern", [CASE, f"numerics:{CASE}", "bert-*", "*"])
def test_a_case_is_expected_anew_by_its_name(run, folder, hardware, pattern):
    accept([run(1)], folder, "a reason")
    accept([run(2), run(3)], folder, "a reason", anew=[pattern])
    assert anew(folder, hardware) == [(), (f"numerics:{CASE}",), ()]  # of those accepted together both count


def test_a_pattern_that_fits_nothing_is_refused(run, folder):
    message = refusal([run()], folder, anew=["bert-imbd-*"])
    assert message == "no case is called 'bert-imbd-*': expected a case, KIND:CASE, or a pattern such as 'bert-imdb-*'"
    assert contents(folder) == {}


def test_what_is_accepted_though_it_is_worse_is_expected_anew(content, saved, folder, hardware):
    """But not what failed for another reason: it would lose its history with each run."""
    verdict = {"kind": "numerics", "case": CASE, "metric": "loss error", "status": "worse", "value": 1, "limit": 0}
    for number, beside in enumerate(({}, {"compared": True})):
        content["datetime"] = f"2026-01-0{number + 1}T00:00:00"
        content["benchmarks"][0]["extra_info"]["mpcore"]["verdicts"] = [verdict | beside | {"sentence": "it is worse"}]
        accept([saved(content)], folder, "a reason", overrule=[CASE])
    assert anew(folder, hardware) == [(), (f"numerics:{CASE}",)]


def test_a_run_is_accepted_once(run, folder):
    (first,), _ = accept([run()], folder, "a reason")
    assert refusal([run()], folder) == f"{run()} has been accepted already: it is the run in {first}"
    assert refusal([first], folder) == f"{first} has been accepted already: it is the run in {first}"
    assert refusal([run(1), run(1)], folder) == f"{run(1)} is named twice"


def test_runs_of_one_moment_and_other_commits_are_two(run, folder):
    accept([run(commit="a")], folder, "a reason")
    accept([run(commit="b")], folder, "a reason")
    assert names(folder) == ["0001_a.json", "0002_b.json"]


def test_the_last_are_kept(run, folder):
    accept([run(1), run(2)], folder, "a reason", keep=2)
    new, old = accept([run(3)], folder, "a reason", keep=2)
    assert ([path.name for path in new], [path.name for path in old]) == (["0003_01234567.json"], ["0001_01234567.json"])
    assert names(folder) == ["0002_01234567.json", "0003_01234567.json"]


def test_fewer_are_kept_from_now_on(run, folder):
    for second in range(4):
        accept([run(second)], folder, "a reason")
    _, old = accept([run(4)], folder, "a reason", keep=1)
    assert len(old) == 4
    assert names(folder) == ["0005_01234567.json"]


def test_more_than_are_kept_are_not_accepted_at_once(run, folder):
    message = refusal([run(1), run(2), run(3)], folder, keep=2)
    assert message == "3 runs on some-cpu-2-cores cannot be accepted at once where 2 are kept"


def test_a_baseline_that_cannot_be_read_is_no_reason_to_begin_anew(run, stored, folder):
    bad = stored("{")
    assert str(bad) in refusal([run()], folder)


def test_a_machine_that_differs_is_refused(on_gpu, saved, folder):
    first = saved(on_gpu)
    on_gpu["machine_info"]["mpcore"]["hardware"]["power_limit_watts"] = 500.0
    second = saved(on_gpu | {"datetime": "later"}, "other.json")
    assert "500 W is not 700 W" in refusal([first, second], folder)
    accept([first], folder, "a reason")
    assert "700 W is not 500 W" in refusal([second], folder)


def test_what_changes_is_shown_before_it_does(run, folder):
    accept([run(1)], folder, "a reason")
    told = []
    accept([run(2), run(3)], folder, "a reason", announce=lambda new, before: told.append((new, before, names(folder))))
    assert [(new.path, len(before), len(there)) for new, before, there in told] == [(str(run(2)), 1, 1), (str(run(3)), 1, 1)]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [ENOSPC, KeyboardInterrupt()])
def test_what_cannot_be_written_leaves_nothing(run, folder, monkeypatch, step, error):
    def fails(*_):
        raise error

    accept([run(1)], folder, "a reason")
    before = contents(folder)
    monkeypatch.setattr(os, step, fails)
    with pytest.raises((RunError, KeyboardInterrupt)) as caught:
        accept([run(2)], folder, "a reason")
    assert contents(folder) == before
    if error is ENOSPC:
        assert str(caught.value) == f"cannot write {folder}/some-cpu-2-cores/0002_01234567.json: No space left on device"


def test_a_process_that_is_killed_before_the_file_has_its_name_leaves_nothing_that_is_read(run, folder, hardware, monkeypatch):
    accept([run(1)], folder, "a reason")
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(os, "replace", lambda *_: os._exit(9))
    process = context.Process(target=accept, args=([run(2)], folder, "a reason"))
    process.start()
    process.join()
    monkeypatch.undo()
    assert process.exitcode == 9
    assert len(contents(folder)) == 2  # the draft is there, whole or not
    assert len(accepted(folder, hardware)) == 1
    accept([run(2)], folder, "a reason")
    assert names(folder) == ["0001_01234567.json", "0002_01234567.json"]


def test_a_folder_that_cannot_be_made_is_said(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=f"cannot write {tmp_path}/file: File exists"):
        accept([run()], tmp_path / "file", "a reason")


def test_a_folder_that_may_not_be_written_is_said(run, folder, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = run()
    monkeypatch.setattr("pathlib.Path.mkdir", denied)  # root may write everywhere
    assert refusal([path], folder) == f"cannot write {folder}: Permission denied"


def _accept_in_turn(files, folder, barrier):
    barrier.wait()
    for file in files:
        accept([file], folder, "a reason", keep=16)


def test_two_at_once_lose_none(run, folder, hardware):
    files = [[run(8 * process + number) for number in range(8)] for process in range(2)]
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=_accept_in_turn, args=(of, folder, barrier)) for of in files]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(int(run.datetime[17:19]) for run in accepted(folder, hardware)) == list(range(16))
    assert [name[:4] for name in names(folder)] == [f"{number:04}" for number in range(1, 17)]
