"""What of the machine around a GPU, or of a CPU itself, would spoil figures."""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import torch

from mpcore.device.pynvml import pynvml
from mpcore.execution import executions
from mpcore.report.text import counted

BUSY = 0.5
"""Processes that want to run, for each core: more leave too little to whoever launches a step, or computes it."""
FREE_BYTES = 2 * 2**30
"""Of a disk: a run is a few megabytes, what torch compiles some hundreds."""
VARIABLES = {
    "CUDA_LAUNCH_BLOCKING": "every launch waits for its kernel",
    "NVIDIA_TF32_OVERRIDE": "TF32 is the same in all modes",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "TF32 is the same in all modes",
    "PYTORCH_NO_CUDA_MEMORY_CACHING": "memory is asked of the driver at each step",
    "PYTORCH_ALLOC_CONF": "memory is given out in another way than in runs without it",
    "PYTORCH_CUDA_ALLOC_CONF": "memory is given out in another way than in runs without it",
    "CUBLAS_WORKSPACE_CONFIG": "cuBLAS chooses among other kernels",
    "CUDA_INJECTION64_PATH": "a profiler is in every process",
    "TORCH_COMPILE_DISABLE": "nothing is compiled",
    "TORCHDYNAMO_DISABLE": "nothing is compiled",
    "LD_PRELOAD": "another library is in every process",
}
"""Of the environment, and what they do to a step."""
SWITCHES = ("CUDA_LAUNCH_BLOCKING", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE")
"""Those that 0 switches off. 0 of NVIDIA_TF32_OVERRIDE forbids TF32, and others count as soon as they are set."""
OFF = ("", "0", "false")


def host_spoilers(device: torch.device, folder: Path, environment: Mapping[str, str], asked: Collection[str]) -> Iterator[str]:
    """A sentence for each. folder: where the session is started. asked: the executions that are wanted."""
    yield from _hidden_gpu(device)
    yield from _variables(environment)
    yield from _cores()
    yield from _disks(folder)
    compiling = (executions[name] for name in sorted(asked) if executions[name].compiles)
    yield from filter(None, (execution.unsupported(device) for execution in compiling))


def _hidden_gpu(device: torch.device) -> Iterator[str]:
    """torch computes on a CPU, and there is a GPU."""
    if device.type == "cuda" or torch.cuda.is_available():
        return
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return
    if count:
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built for CPUs alone"
        yield f"NVML sees {counted(count, 'GPU')}, and torch none: torch {torch.__version__} {built}"


def _variables(environment: Mapping[str, str]) -> Iterator[str]:
    for name, effect in VARIABLES.items():
        if environment.get(name, "").lower() not in (OFF if name in SWITCHES else ("",)):
            yield f"{name}={environment[name]} is set: {effect}"


def _cores() -> Iterator[str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0]
    if load > BUSY * cores:
        yield (
            f"{load:.1f} processes wanted to run in the last minute, on {counted(cores, 'core')}: what runs beside a step "
            "changes its time. A command that ended less than a minute ago counts, too"
        )
    quota = _quota()
    if quota is not None and quota < cores:
        yield f"this process may use {quota:.1f} of {counted(cores, 'core')}: it is stopped where it uses more"


def _quota() -> float | None:
    """CPUs' worth of time that a container may use, None where nothing limits it."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _disks(folder: Path) -> Iterator[str]:
    compiled = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or tempfile.gettempdir())
    places = {"runs are saved": folder, "torch keeps what it compiles": compiled}
    for what, place in places.items():
        there = next(path for path in (place, *place.parents) if path.exists())
        if not os.access(there, os.W_OK):
            yield f"{there}, where {what}, cannot be written to"
        elif (free := shutil.disk_usage(there).free) < FREE_BYTES:
            yield f"{there}, where {what}, has {free / 2**30:.1f} GiB left: expected {FREE_BYTES // 2**30}"
