"""Files of layouts 2 and 3 as files of layout 4.

They hold a result in the `extra_info` of each benchmark, with one list of verdicts in place of checks and regressions. What a
case must reach is rebuilt from what its verdicts say of it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mpcore.records import ALL_CASES, Case, Run
from mpcore.store.atomic import write
from mpcore.store.error import RunError
from mpcore.store.files import KEY, first_error, is_newer, read, stored_in, text_of, to_run

LAYOUTS = (2, 3)
KERNELS = 10
"""The longest of a profile, which are kept."""
CHECK_STATUS = {"same": "passed", "better": "passed", "worse": "failed", "undecided": "inconclusive"}
LIMITS = ("loss error", "gradient error", "update error", "flushed share")
SPEEDUP = "speed-up over "
SHARE = re.compile(r"expected (\d+) to (\d+) %$")
NODE = re.compile(r"(?:.*::)?test_(\w+)\[(.+)\]")
RENAMED = {
    "half_flops_share": "low_precision_flops_share",
    "uninformed": "dummy_score",
    "rival": "trainer",
    "rival_version": "trainer_version",
}

Object = dict[str, Any]


def convert_file(path: str | Path, output: Path, update_noise: Callable[[str], float]) -> Run:
    """Writes the run in `path`, in the layout of today, to `output`, which may be the same file. Raises RunError."""
    content = converted(read(path), update_noise, path)
    run = to_run(output, content)
    write({output: text_of(content)})
    return run


def converted(content: Mapping[str, Any], update_noise: Callable[[str], float], path: str | Path = "the file") -> Object:
    """What `content`, of layout 2 or 3, is in layout 4. What is pytest-benchmark's own stays as it is.

    update_noise: what chance may make of the error of updates, by the name of any workload, for older files do not tell.
    path: where `content` is from, for the sentences. Raises RunError.
    """
    try:
        if "layout" in (stored := stored_in(content, path)):
            is_newer(stored, path)  # which refuses a layout that is not known
            raise RunError(f"{path} is of layout {stored['layout']!r} already: only 2 and 3 can be converted")
        found = [(b["fullname"], b["extra_info"][KEY]) for b in content["benchmarks"] if KEY in b["extra_info"]]
        for test, result in found:
            if result.get("layout", 1) not in LAYOUTS:
                raise RunError(f"{path}, {test}: layout {result.get('layout', 1)!r:.80}, only 2 and 3 can be converted")
        run = Run.model_validate(_run(content, found, update_noise))
        benchmarks = [_benchmark(benchmark) for benchmark in content["benchmarks"]]
        machine_info = content["machine_info"] | {KEY: run.machine.hardware.key}
    except ValidationError as error:
        raise RunError(f"{path}: {first_error(error)}") from error
    except (AttributeError, KeyError, TypeError) as error:
        missing = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RunError(f"{path} is no run of layout 2 or 3, which alone can be converted: {missing}") from error
    return {**content, "machine_info": machine_info, "benchmarks": benchmarks, KEY: run.model_dump(mode="json")}


def _run(content: Mapping[str, Any], found: Sequence[tuple[str, Object]], update_noise: Callable[[str], float]) -> Object:
    session = content[KEY]
    results = [result for _, result in found]
    failed = _failed(session.get("failed", []), found)
    return {
        "command": session["command"],
        "datetime": content["datetime"],
        "commit": content["commit_info"]["id"],
        "machine": content["machine_info"][KEY],
        "results": _with_drift([result["record"] for result in results], _results(results, update_noise)),
        "failed": failed,
        "missed": session.get("missed", 0),
        "common": _common(failed),
        "accepted": _accepted(session["accepted"]) if session.get("accepted") else None,
    }


def _benchmark(benchmark: Object) -> Object:
    """With the name of the record in place of the record."""
    extra = benchmark["extra_info"]
    return benchmark | {"extra_info": extra | {KEY: _name(extra[KEY]["record"])}} if KEY in extra else benchmark


def _results(results: Sequence[Object], update_noise: Callable[[str], float]) -> list[Object]:
    verdicts: dict[Case, list[Object]] = {}
    for result in results:
        verdicts.setdefault(_case(result["record"]), []).extend(v for v in result["verdicts"] if not v.get("compared"))
    requirements = {case: _requirements(of_case) for case, of_case in verdicts.items()}
    tolerances = {(c.workload, c.size): r["tolerance_points"] for c, r in requirements.items() if "tolerance_points" in r}
    for case, required in requirements.items():  # a negative control is not held to it, though its workload has one
        required["tolerance_points"] = tolerances.get((case.workload, case.size))
        required["update_noise"] = update_noise(case.workload)
    scores = {_case(r["record"]): _scores(r["record"]) for r in results if r["record"]["kind"] == "quality"}
    return [
        {
            "record": _record(result["record"], scores) | {"requirements": requirements[_case(result["record"])]},
            "checks": [_check(v) for v in result["verdicts"] if not v.get("compared")],
            "regressions": [_regression(v) for v in result["verdicts"] if v.get("compared")],
        }
        for result in results
    ]


def _requirements(verdicts: Iterable[Object]) -> Object:
    """Of a case, from what must be reached in all kinds of its tests."""
    found: Object = {"negative_control": False, "loses_updates": False, "must_beat": []}
    for verdict in verdicts:
        kind, metric, limit, sentence = (verdict[key] for key in ("kind", "metric", "limit", "sentence"))
        found["negative_control"] |= "negative control: " in sentence
        found["loses_updates"] |= verdict.get("known", False)
        if kind == "numerics" and metric in LIMITS:
            found[metric.replace(" ", "_")] = limit
        elif kind == "numerics" and (share := SHARE.search(sentence)):
            found["low_precision_share"] = [int(bound) / 100 for bound in share.groups()]
        elif kind == "speed" and metric.startswith(SPEEDUP):
            found["must_beat"].append(metric.removeprefix(SPEEDUP))
        elif kind == "parity" and metric.startswith(SPEEDUP):
            found["at_least"] = limit
        elif limit is not None and (metric == "score" if kind == "parity" else kind == "quality" and metric != "learning"):
            found["tolerance_points"] = abs(limit)
    return found


def _record(record: Object, scores: Mapping[Case, Object]) -> Object:
    new = {RENAMED.get(name, name): value for name, value in record.items() if name != "drift"}
    new["kind"] = _kind(record["kind"])
    if record["kind"] == "quality":
        new["reference"] = scores.get(_case(record).in_precision("fp32"))
    if profile := record.get("profile"):
        new["profile"] = {"kernels": profile["kernels"][:KERNELS], "families": profile["families"]}
    return new


def _scores(quality: Object) -> Object:
    by_seed = {training["seed"]: training["metrics"][quality["metric"]] for training in quality["trainings"]}
    return {"precision": quality["case"]["precision"], "by_seed": by_seed}


def _check(verdict: Object) -> Object:
    status = CHECK_STATUS[verdict["status"]]
    if verdict.get("known") and status != "passed":
        status = "expected_failure"
    fields = {key: verdict[key] for key in ("case", "metric", "value", "limit", "sentence")}
    return {"kind": _kind(verdict["kind"]), "status": status, **fields}


def _regression(verdict: Object) -> Object:
    status, metric = verdict["status"], verdict["metric"]
    if status == "new" and "accepted runs have it otherwise" in verdict["sentence"]:
        status = "incomparable"
    fields = {key: verdict.get(key) for key in ("case", "value", "limit", "ratio", "interval", "sentence")}
    return {"kind": _kind(verdict["kind"]), "status": status, "metric": _kind(metric), **fields}


def _with_drift(records: Sequence[Object], results: Sequence[Object]) -> list[Object]:
    """`results`, and after the last speed of each workload how far its references drifted, which each of `records` tells."""
    last = {_case(record).in_precision(""): number for number, record in enumerate(records) if record["kind"] == "speed"}
    found: list[Object] = []
    for number, (record, result) in enumerate(zip(records, results, strict=True)):
        found.append(result)
        if record.get("drift") and last[_case(record).in_precision("")] == number:
            found.append({"record": _drift(record)})
    return found


def _drift(speed: Object) -> Object:
    about = ("workload_version", "device", "batch_size", "unit", "units_per_sample")
    case = speed["case"] | {"precision": next(iter(speed["drift"]))}
    return {"kind": "drift", "case": case, "shares": speed["drift"]} | {key: speed[key] for key in about if key in speed}


def _failed(told: Iterable[Object], found: Iterable[tuple[str, Object]]) -> list[Object]:
    """What the session told of, and what verdicts show, each test once."""
    names = {test: _name(result["record"]) for test, result in found}
    sentences = {failure["test"]: failure["sentence"] for failure in told}
    for test, result in found:
        if shown := [v["sentence"] for v in result["verdicts"] if not _passed(v)]:
            sentences.setdefault(test, "; ".join(shown))
    return [{"test": test, "name": names.get(test) or _named(test), "sentence": s} for test, s in sentences.items()]


def _passed(verdict: Object) -> bool:
    failing = ("worse",) if verdict.get("compared") else ("worse", "undecided")
    return verdict.get("known", False) or verdict["status"] not in failing


def _common(failed: Iterable[Object]) -> Object | None:
    """What all cases share is a figure only where it failed: it is found again when the run is judged again."""
    fields = {"kind": "speed", "case": ALL_CASES, "metric": "step time", "status": "worse", "value": None, "limit": None}
    return next((fields | {"sentence": f["sentence"]} for f in failed if f["test"] == ALL_CASES), None)


def _accepted(accepted: Object) -> Object:
    reset = [":".join([_kind(kind), case]) for kind, _, case in (name.partition(":") for name in accepted.get("anew", []))]
    renamed = {"allowed_failures": accepted.get("overruled", []), "reset": reset}
    return {key: value for key, value in accepted.items() if key not in ("overruled", "anew")} | renamed


def _case(record: Object) -> Case:
    return Case.model_validate(record["case"])


def _name(record: Object) -> str:
    parts = [_kind(record["kind"]), _case(record).id, record.get("rival", "")]
    return ":".join(filter(None, parts))


def _named(test: str) -> str:
    """As its record would be called, by its node id; "" for a test without cases."""
    node = NODE.fullmatch(test)
    return f"{node[1]}:{node[2]}" if node else ""


def _kind(kind: str) -> str:
    return "accuracy" if kind == "quality" else kind
