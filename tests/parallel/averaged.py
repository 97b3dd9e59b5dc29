"""On each rank of torchrun: how far gradients are, after a step on several ranks, from the mean of those of each rank alone."""

import json
import sys
from pathlib import Path

import torch
from planted import Normed  # registers it, too

from mpcore.device import agreement
from mpcore.measure.observation import observe
from mpcore.measure.yardstick import relative_error
from mpcore.parallel.worker import device_of_rank
from mpcore.precision import precisions
from mpcore.strategies import strategies
from mpcore.training.parts import rank_rows
from mpcore.training.step import TrainStep


def gradients(mode, parts, device, strategy=None):
    """Of this rank's share of a batch, which no other has."""
    workload = Normed("tiny")
    step = TrainStep(workload, precisions[mode](), device, accumulate=parts, dropout=False, strategy=strategy)
    rows = workload.split("train", torch.device("cpu")).rows(slice(8 * agreement.ranks()))
    batch = {name: column.to(device) for name, column in rank_rows(rows).items()}
    return observe(step, batch, updates=1).gradients


def error(mode, name, parts, device):
    alone = agreement.gathered(gradients(mode, parts, device))
    mean = {weight: sum(each[weight].to(device) for each in alone) / len(alone) for weight in alone[0]}
    return relative_error(gradients(mode, parts, device, strategies[name](device)), mean)


def main(device_name, to, *cases):
    device = device_of_rank(device_name)
    with agreement.process_group(device):
        triples = [(mode, name, int(parts)) for mode, name, parts in (case.split(",") for case in cases)]
        found = {",".join(map(str, triple)): error(*triple, device) for triple in triples}
        if agreement.rank() == 0:
            Path(to).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
