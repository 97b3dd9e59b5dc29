"""Blocks of a process with a known noise, one after the other."""

import math

import numpy as np

from mpcore.records import Blocks, Case, GpuState, Hardware, Machine, Result, Run, Speed


def blocks(rng, case, noise):
    logs = [case.block * rng.standard_normal()]
    for shock in rng.standard_normal(case.blocks - 1):
        logs.append(case.correlation * logs[-1] + case.block * math.sqrt(1 - case.correlation**2) * shock)
    drift = noise.drift * rng.standard_normal() * np.linspace(-0.5, 0.5, case.blocks)
    odd = noise.odd_shift * (rng.random() < case.odd)
    return np.array(logs) + drift + noise.process * rng.standard_normal() + odd


def run_of(times, day=1, uuid="u", capped=()):
    """A run of graphs on an H200: seconds of a step by workload. capped: those at the power limit."""
    hardware = Hardware(
        device="cuda", name="NVIDIA H200", count=1, memory_bytes=1, power_limit_watts=1, mig=None, uuid=uuid, capability="9.0",
        cpu="c", cores=1,
    )  # fmt: skip
    return Run(
        command="",
        datetime=f"2026-01-{day:02}T00:00:00+00:00",
        commit=None,
        machine=Machine(hardware=hardware, software={}),
        results=tuple(Result(record=graph(name, seconds, name in capped)) for name, seconds in times.items()),
    )


def graph(workload, seconds, capped=False):
    gpu = GpuState(
        at_seconds=(0.0,), sm_mhz=(1980,), watts=(500.0,), celsius=(50,), joules=(), limits=("power cap",) * capped,
        other_processes=0,
    )  # fmt: skip
    return Speed(
        case=Case(workload=workload, precision="fp16-amp", execution="graph", size="full"), workload_version=1, device="cuda",
        batch_size=1, unit="samples", blocks=Blocks(steps=1, seconds=(seconds,) * 3), eager=None, references={},
        peak_allocated_bytes=None, peak_reserved_bytes=None, pool_bytes=None, loss_before=None, loss_after=None,
        loss_scale=None, skipped_steps=0, flops_per_step=1, low_precision_flops_share=0.5, ceiling_flops=None, profile=None,
        gpu=gpu, dropped_blocks=0,
    )  # fmt: skip
