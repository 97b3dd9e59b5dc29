"""The noise that recorded traces show."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.linalg import toeplitz

from mpcore.calibrate.noise import Array, CaseNoise, Noise
from mpcore.gate.intervals import pooled_deviation
from mpcore.store import RunError

ODD = 0.02
"""A process whose time differs by more from the median of the others is another one; graphs repeat within half a per cent."""

Starts = dict[str, list[dict[str, list[float]]]]
"""Machine start -> processes -> case -> seconds of a step, block by block."""


def read(paths: Sequence[Path]) -> Starts:
    """Traces, one file a machine start, one line of JSON a process. Raises RunError for a file of anything else."""
    return {str(path): _processes(path) for path in paths}


def fit(starts: Starts) -> Noise:
    """The noise in recorded traces. Raises RunError if no case was recorded by three processes of one machine start: what
    differs between processes cannot be told then."""
    traces = defaultdict(list)
    medians: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for start, processes in starts.items():
        for name, seconds in (item for process in processes for item in process.items()):
            traces[name].append(np.log(seconds))
            medians[name][start].append(float(np.median(traces[name][-1])))
    repeated = {name: [v for v in of_start.values() if len(v) > 2] for name, of_start in medians.items()}
    repeated = {name: groups for name, groups in repeated.items() if groups}
    if not repeated:
        raise RunError(f"{', '.join(starts)}: expected a case that three processes of one machine start have recorded")
    odd = {name: [shift for values in groups for shift in _odd(values)] for name, groups in repeated.items()}
    shares = {name: len(odd[name]) / sum(map(len, groups)) for name, groups in repeated.items()}
    cases = tuple(_case(name, traces[name], shares.get(name, 0.0)) for name in sorted(traces))
    ordinary = [[v for v in values if not _is_odd(v, values)] for groups in repeated.values() for values in groups]
    process = pooled_deviation(ordinary).value
    machine = pooled_deviation([[float(np.median(values)) for values in of_start.values()] for of_start in medians.values()])
    return Noise(
        cases=cases,
        drift=_drift([logs for of_case in traces.values() for logs in of_case]),
        process=_beyond(process, [case.median_error for case in cases if case.name in repeated]),
        machine=_beyond(machine.value, [process]) if machine.freedom else 0.0,
        odd_shift=float(np.mean(np.concatenate(list(odd.values())))) if any(odd.values()) else 0.0,
    )


def _processes(path: Path) -> list[dict[str, list[float]]]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    found = [_process(path, number, line) for number, line in enumerate(lines, 1)]
    if not found:
        raise RunError(f"{path}: expected one line of JSON a process, found none")
    return found


def _process(path: Path, number: int, line: str) -> dict[str, list[float]]:
    try:
        traces = json.loads(line)["step_seconds"]
        good = all(len(s) > 4 and all(_is_time(x) for x in s) for s in traces.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        good = False
    if not good:
        raise RunError(f'{path}, line {number}: expected {{"step_seconds": {{case: [five or more times above 0]}}}}')
    return traces


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _case(name: str, traces: list[Array], odd: float) -> CaseNoise:
    residuals = [_detrended(logs) for logs in traces]
    squares = sum(float((r**2).sum()) for r in residuals)
    neighbours = sum(float((r[1:] * r[:-1]).sum()) for r in residuals) / squares if squares else 0.0
    blocks = round(sum(map(len, traces)) / len(traces))
    correlation = (neighbours + 2 / blocks) / (1 - 4 / blocks)  # less its bias in short series: Kendall, Biometrika 41, 1954
    correlation = float(np.clip(correlation, 0.0, 0.9))
    block = float(stats.median_abs_deviation(np.concatenate(residuals), scale="normal"))  # spikes do not move a median
    return CaseNoise(name, blocks, block / _left(blocks, correlation), correlation, odd)


def _left(blocks: int, correlation: float) -> float:
    """What a fitted line leaves of the standard deviation of correlated blocks, as a share."""
    line = np.linalg.qr(np.vander(np.arange(blocks), 2))[0]
    taken = np.trace(line.T @ toeplitz(correlation ** np.arange(blocks)) @ line)
    return math.sqrt(1 - float(taken) / blocks)


def _detrended(logs: Array) -> Array:
    index = np.arange(len(logs))
    return logs - np.polyval(np.polyfit(index, logs, 1), index)


def _drift(traces: list[Array]) -> float:
    """The deviation of the slopes of traces, less what the noise of blocks makes of them, by medians: some cases are far
    noisier."""
    slopes, errors = [], []
    for logs in traces:
        count = len(logs)
        slopes.append(np.polyfit(np.arange(count), logs, 1)[0] * (count - 1))
        errors.append(_detrended(logs).std(ddof=2) * math.sqrt(12 * (count - 1) / (count * (count + 1))))
    return _beyond(float(stats.median_abs_deviation(slopes, scale="normal")), [float(np.median(errors))])


def _odd(values: Sequence[float]) -> list[float]:
    """How far the odd processes of a machine start are from its others."""
    return [value - float(np.median(values)) for value in values if _is_odd(value, values)]


def _is_odd(value: float, values: Sequence[float]) -> bool:
    return abs(value - float(np.median(values))) > ODD


def _beyond(deviation: float, errors: Sequence[float]) -> float:
    """What is left of a standard deviation beyond what errors of these sizes explain."""
    return math.sqrt(max(0.0, deviation**2 - float(np.mean(np.square(errors)))))
