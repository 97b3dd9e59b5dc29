"""How the time of a step differs between blocks, processes and machine starts: a model on the scale of logarithms, fitted to
recorded traces.

    time of a block = case + machine start + process + drift within the process + noise of the block

The noise of blocks is a first-order autoregression: neighbours resemble each other. What a process reports is the median of its
blocks. Now and then a process is another one altogether (its kernels were chosen differently), in all of its blocks.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CaseNoise:
    """Of the blocks of one case. `block` is their standard deviation in logarithms, `correlation` the correlation of
    neighbours, `odd` the share of odd processes."""

    name: str
    blocks: int
    block: float
    correlation: float
    odd: float = 0.0

    @property
    def median_error(self) -> float:
        """The standard deviation, in logarithms, of the median of the blocks: of a mean of correlated normal figures, times the
        root of pi / 2."""
        inflation = (1 + self.correlation) / (1 - self.correlation)
        return self.block * math.sqrt(math.pi / 2 * inflation / self.blocks)


@dataclass(frozen=True)
class Noise:
    """Of a suite, in logarithms. Standard deviations: `drift` of the change from the first block of a process to its last,
    `process` between processes, `machine` between machine starts. `odd_shift` is the change of an odd process."""

    cases: tuple[CaseNoise, ...]
    drift: float
    process: float
    machine: float
    odd_shift: float = 0.0


def log_medians(rng: np.random.Generator, case: CaseNoise, noise: Noise, shape: tuple[int, ...]) -> Array:
    """What as many processes of a case report, on one machine start: logarithms, around 0."""
    shocks = rng.standard_normal((*shape, case.blocks), dtype=np.float32)
    shocks[..., 1:] *= math.sqrt(1 - case.correlation**2)
    blocks = case.block * lfilter([1.0], [1.0, -case.correlation], shocks, axis=-1)
    blocks += noise.drift * rng.standard_normal((*shape, 1)) * np.linspace(-0.5, 0.5, case.blocks)
    odd = rng.random(shape) < case.odd
    return np.median(blocks, axis=-1) + noise.process * rng.standard_normal(shape) + noise.odd_shift * odd


H200 = Noise(
    cases=(
        CaseNoise("bert-imdb/bf16-amp", 10, 0.00043, 0.21),
        CaseNoise("bert-imdb/bf16-manual", 10, 0.00101, 0),
        CaseNoise("bert-imdb/bf16-true", 10, 0.00164, 0),
        CaseNoise("bert-imdb/fp16-amp", 10, 0.00136, 0),
        CaseNoise("bert-imdb/fp16-forward", 10, 0.00052, 0),
        CaseNoise("bert-imdb/fp16-manual", 10, 0.000703, 0.035),
        CaseNoise("bert-imdb/fp16-true", 10, 0.000749, 0.041),
        CaseNoise("bert-imdb/fp32", 10, 0.000833, 0),
        CaseNoise("bert-imdb/tf32", 10, 0.000773, 0.32),
        CaseNoise("bert-s128/bf16-amp", 13, 0.000674, 0.056),
        CaseNoise("bert-s512/bf16-amp", 30, 0.00557, 0),
        CaseNoise("bert-s512/fp16-amp", 44, 0.00964, 0.68),
        CaseNoise("bert-s512/fp16-manual", 27, 0.0202, 0.64),
        CaseNoise("bert-s512/fp32", 10, 0.000141, 0.16),
        CaseNoise("bert-s512/tf32", 18, 0.00231, 0),
        CaseNoise("resnet18-mnist/bf16-amp", 10, 0.00115, 0),
        CaseNoise("resnet18-mnist/bf16-manual", 10, 0.000939, 0),
        CaseNoise("resnet18-mnist/bf16-true", 10, 0.000944, 0.68),
        CaseNoise("resnet18-mnist/fp16-amp", 13, 0.00138, 0),
        CaseNoise("resnet18-mnist/fp16-forward", 10, 0.000991, 0.043),
        CaseNoise("resnet18-mnist/fp16-manual", 10, 0.000935, 0.032),
        CaseNoise("resnet18-mnist/fp16-true", 10, 0.00157, 0.53),
        CaseNoise("resnet18-mnist/fp32", 10, 0.000829, 0.12),
        CaseNoise("resnet18-mnist/tf32", 10, 0.00179, 0, 0.167),
        CaseNoise("resnet50/fp16-amp", 20, 0.00207, 0.59),
        CaseNoise("resnet50/fp16-manual", 36, 0.00401, 0.33),
    ),
    drift=0.00032,
    process=0.00097,
    machine=0.0028,
    odd_shift=-0.053,
)
"""What `fit` finds in tests/traces: graphs on NVIDIA H200s, three machine starts, nine processes (torch 2.11, CUDA 13.0)."""
