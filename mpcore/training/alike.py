"""Whether ranks are to train one and the same model."""

from torch import nn

from mpcore.device import agreement
from mpcore.workloads import Workload, WorkloadError


def check_alike(workload: Workload, model: nn.Module) -> None:
    """To be called on each rank. Raises WorkloadError for weights of another name or shape than those of rank 0: what averages
    them would end the rank, or wait for ever."""
    first, *others = agreement.gathered([(name, list(weight.shape)) for name, weight in model.named_parameters()])
    for rank, built in enumerate(others, 1):
        if built != first:
            differing = [w for w in built if w not in first] or [w for w in first if w not in built] or built
            name, shape = differing[0]
            other = f"build_model() makes other weights on rank {rank} than on rank 0, such as {name} of {shape}"
            raise WorkloadError(f"{workload.name}: {other}: expected one model on all ranks")
