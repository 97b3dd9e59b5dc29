"""Saved runs as one pandas frame, with a row for each case of each run.

Each row begins with its run: `run` (its file), `measured` (when, ISO 8601), `commit`, `hardware` (the key that makes two
comparable), `device` (its name), `torch` (the version), `accepted` (whether the run is a baseline).

Then the case: `workload, size, execution, precision, trainer, strategy` (names), `gpus`, `batch` (a size of batch that was
asked for, as text, or ""). Then its figures, NaN where something was not measured, inf where it was and is no finite number:

- a step: `batch_size`; `unit` (what a sample is); `step_ms`; `eager_ms` (of the same step launched by Python); `per_second`
  (samples); `over_fp32`, `over_tf32`, of a variant `over_base`, and where it is compiled `over_graph` (times as fast as the
  same step that is not); `compile_s` (seconds to compile it); `compiled` (how, in a sentence); `graphs`, `graph_breaks`,
  `recompilations` (what torch.compile made of it, counted); `tflops` (10^12 a second);
  `ceiling_pct` (of what a large matrix product reaches); `joules`; `peak_gib`, `reserved_gib`, `pool_gib` (allocated and
  reserved by an eager step, held by the graph); `why` (a sentence); `remark` (what the mode says of itself);
- what a step does: `casts` (copies into another floating-point format); `launches` (of kernels, as it is executed);
  `saved_gib` (kept for the backward pass); `waits` (where the host wants a value: a sentence);
- trainings: `train_s`, `evaluation_s` (median over seeds); `trained_per_second` (of `unit`, without the evaluation); `seeds`;
  `diverged` (trainings that came to nothing); `rows` (samples to train); `weights` (that it starts from: random, or the name
  of a checkpoint); `metric` (the name of what counts); `score`, `score_sd` (its mean and deviation: in per cent, or as it is
  where lower is better); `points` (how much better than fp32: percentage points, or per cent where lower is better),
  `points_over_base` (in their place the same of a variant, over its base);
  `metric:<name>` (each metric as it is, mean over seeds);
- errors against FP64: `loss_error`, `gradient_error`, `update_error`, `flushed_share`;
- `low_precision_share` (of FLOPs in 16 bits or fewer);
- the gate: `verdict` ("ok", "failed", or "known" for a loss that the mode is known for); `regression` (the gravest against
  accepted runs: "worse", "changed", "undecided", "better", "saturated", "incomparable", "new" or "same"); `failed` (the metrics
  that failed, and the tests that failed before they came to a judgement).
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from mpcore.records import Run
from mpcore.report.rows import COLUMNS, METRIC, rows

RUN = ("run", "measured", "commit", "hardware", "device", "torch", "accepted")


def frame(runs: Iterable[Run]) -> pd.DataFrame:
    """The rows of all `runs`, one after the other."""
    found = [_of(run) | dict(row) for run in runs for row in rows(run.results, run.failed)]
    metrics = dict.fromkeys(name for row in found for name in row if name.startswith(METRIC))
    table = pd.DataFrame(found, columns=[*RUN, *COLUMNS, *metrics])
    table["batch_size"] = table.batch_size.astype("Int64")
    return table


def _of(run: Run) -> dict[str, Any]:
    return {
        "run": run.path,
        "measured": run.datetime,
        "commit": run.commit,
        "hardware": run.machine.hardware.key,
        "device": run.machine.hardware.name,
        "torch": run.machine.software.get("torch"),
        "accepted": run.accepted is not None,
    }
