"""What a comparison with other trainers must show: ours is as fast, and scores as well."""

from mpcore.gate.checks.check import SPEEDUP, new_check, passed, state_of_gpu, step_times, times_as_fast
from mpcore.gate.digits import told_apart
from mpcore.gate.intervals import Interval, ratio_interval, separate_ratio_interval
from mpcore.records import Check, CheckStatus, Entrant, Parity, Race, Turns


def parity_checks(parity: Parity) -> list[Check]:
    """On a GPU the interval of the ratio must not lie below what is required; of a CPU it is only said. Where trainings were
    compared, ours must not score more than the tolerance less."""
    required, found = parity.requirements, []
    if required.at_least is not None:
        ratio = ratio_interval(step_times(parity.theirs), step_times(parity.ours))
        who = f"{parity.case.precision} as {parity.case.execution}", f"{parity.trainer} {parity.trainer_version}"
        found.append(_as_fast(parity, f"{SPEEDUP} {parity.trainer}", ratio, who, required.at_least))
    if parity.device != "cpu":
        found.append(state_of_gpu(parity, parity.dropped_blocks, len(parity.ours.seconds)))
    if parity.scores and required.tolerance_points is not None:
        found.append(_scores_as_well(parity, required.tolerance_points))
    return found


def _scores_as_well(parity: Parity, tolerance: float) -> Check:
    points = round(100 * (parity.scores["ours"] - parity.scores["theirs"]), 9)
    said, lost = told_apart(points, -tolerance, "+.2f")
    sentence = f"{parity.case.precision} scores {said} points against {parity.trainer}. {lost.lstrip('-')} may be lost"
    return new_check(parity, "score", passed(points >= -tolerance), points, -tolerance, sentence)


def race_checks(race: Race) -> list[Check]:
    """The same of our fastest step against the fastest other, and of ours against torch's own in the same mode. To be
    faster than those that did not fail is not enough."""
    required = race.requirements
    asked = (
        ("the fastest other", race.fastest, required.at_least),
        (f"reduce-overhead in {race.case.precision}", race.same_mode, required.same_mode_at_least),
    )
    found = [_took_turns(race, f"{SPEEDUP} {what}", turns, least) for what, turns, least in asked if least is not None]
    found += [new_check(race, name, "inconclusive", None, None, f"{name} failed: {why}") for name, why in race.failed.items()]
    found += [_compiled_again(race, entrant) for entrant in race.timed if entrant.while_timed]
    if race.device != "cpu" and race.turns:
        dropped = sum(turns.ours.dropped_blocks for turns in race.turns)
        found.append(state_of_gpu(race, dropped, sum(len(turns.ours.blocks.seconds) for turns in race.turns)))
    return found


def _took_turns(race: Race, metric: str, turns: Turns | None, at_least: float) -> Check:
    if turns is None:
        why = "; ".join({**race.missing, **race.failed}.values())
        return new_check(race, metric, "inconclusive", None, at_least, f"{metric} is not known: {why}")
    interval_of = separate_ratio_interval if turns.apart else ratio_interval
    ratio = interval_of(step_times(turns.theirs.blocks), step_times(turns.ours.blocks))
    return _as_fast(race, metric, ratio, (turns.ours.called, turns.theirs.called), at_least)


def _compiled_again(race: Race, entrant: Entrant) -> Check:
    why = "; ".join(dict.fromkeys(entrant.while_timed))
    sentence = f"{entrant.called} was compiled while it was timed, which makes its time false: {why}"
    return new_check(race, entrant.case.id, "inconclusive", float(len(entrant.while_timed)), 0.0, sentence)


def _as_fast(record: Parity | Race, metric: str, ratio: Interval, who: tuple[str, str], at_least: float) -> Check:
    """who: ours and theirs, in a sentence."""
    status: CheckStatus = "failed" if ratio.high < at_least else "inconclusive"
    if record.device == "cpu" or ratio.centre >= at_least:
        status = "passed"
    sentence = f"{times_as_fast(*who, ratio, at_least)}. A GPU must reach {at_least:g}"
    return new_check(record, metric, status, ratio.centre, at_least, sentence)
