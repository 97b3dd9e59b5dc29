"""Blocks of a process with a known noise, one after the other."""

import math

import numpy as np


def blocks(rng, case, noise):
    logs = [case.block * rng.standard_normal()]
    for shock in rng.standard_normal(case.blocks - 1):
        logs.append(case.correlation * logs[-1] + case.block * math.sqrt(1 - case.correlation**2) * shock)
    drift = noise.drift * rng.standard_normal() * np.linspace(-0.5, 0.5, case.blocks)
    odd = noise.odd_shift * (rng.random() < case.odd)
    return np.array(logs) + drift + noise.process * rng.standard_normal() + odd
