"""The formats that a model's author mixes, which a mode that casts the model has to know. Autocast obeys by itself.

Each question is asked once a workload and mode, by a forward pass over a few samples that leaves the model as it was.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from mpcore.precision import Precision
from mpcore.precision.casting import cast_module_inputs
from mpcore.precision.pure import cast_wholly
from mpcore.training.buffers import Buffers
from mpcore.training.generators import same_draws
from mpcore.workloads import Workload
from mpcore.workloads.checked import checked_model

ROWS = 2
"""Samples that show it: it is a question of the program, and not of numbers."""
HALF, FLOAT = r"(Half|BFloat16)", r"(?<!B)[Ff]loat(?![\da-z])"
FORMATS_DIFFER = re.compile(rf"{HALF}.*{FLOAT}|{FLOAT}.*{HALF}|self\.dtype to be equal to src\.dtype")
"""In torch's words, of two tensors that cannot be multiplied, or one written into the other."""
ONLY_WIDER = re.compile(
    r"\b[Hh]alf, [Ff]loat (or|and) [Dd]ouble tensors.*BFloat16|([Uu]nsupported dtype|tensors of type:) (Half|BFloat16)"
    r"|Low precision dtypes not supported"
)
"""In torch's words, of what it computes in no format so narrow, on no device: complex numbers, FFTs, inverses."""
NO_KERNEL = re.compile(r"not implemented for '(Half|BFloat16)'|could not create a primitive")
"""In torch's words, and in oneDNN's, of an operation that a CPU has not in 16 bits."""


def fp32_modules(workload: Workload, precision: Precision, model: nn.Module, device: torch.device) -> tuple[str, ...]:
    """Qualified names of the modules that compute in FP32 on purpose. They have weights, and autocast is off around them. Or
    they make a weight of others, which in 16 bits may be not finite. `model` is as `build_model` made it, and `precision` has
    patched it."""
    if precision.name not in workload.fp32_modules:
        found = {name for name, m in model.named_modules() if isinstance(m, ParametrizationList)}
        names = {module: name for name, module in model.named_modules() if name and _has_weights(module)}

        def look(module: nn.Module, _: object) -> None:
            if not torch.is_autocast_enabled(device.type):
                found.add(names[module])

        with ExitStack() as stack:
            for module in names:
                stack.callback(module.register_forward_pre_hook(look).remove)
            stack.enter_context(torch.autocast(device.type, torch.bfloat16))
            _failure(workload, model, device)
        workload.fp32_modules[precision.name] = tuple(sorted(found))
    return workload.fp32_modules[precision.name]


def mixes_formats(workload: Workload, precision: Precision, device: torch.device) -> bool:
    """Whether weights that `precision` has cast meet tensors in FP32, which the model makes inside. Examples are an embedding
    of a timestep, and a state that begins at zero."""
    key = precision.name, precision.keep_fp32
    if key not in workload.mixes_formats:
        with precision.settings(), precision.forward():
            failure = _failure(workload, precision.model, device)
        workload.mixes_formats[key] = formats_differ(failure)
    return workload.mixes_formats[key]


def mixes_formats_by_itself(workload: Workload, precision: Precision, device: torch.device) -> bool:
    """Whether 16 bits meet FP32 in the model even where it is cast as plainly as can be. Modules that `precision` is to keep in
    FP32 do not count."""
    model = _new(workload, device)
    cast_wholly(model, precision.dtype, precision.keep_fp32)
    cast_module_inputs(model, precision.dtype)
    return formats_differ(_failure(workload, model, device))


def called_modules(workload: Workload, device: torch.device) -> set[str]:
    """Qualified names of the modules that the loss calls, in FP32."""
    model, called = _new(workload, device), set[str]()
    for name, module in model.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: called.add(name))
    _failure(workload, model, device)
    return called


def _new(workload: Workload, device: torch.device) -> nn.Module:
    """Draws no random numbers of anybody else's."""
    with same_draws(device), torch.device(device):
        return checked_model(workload).to(device)


def formats_differ(error: BaseException | None) -> bool:
    return error is not None and not only_wider(error) and bool(FORMATS_DIFFER.search(str(error)))


def only_wider(error: BaseException) -> bool:
    """Whether torch has what was asked of it in wider formats alone."""
    return bool(ONLY_WIDER.search(str(error)))


def lacks_a_kernel(error: BaseException, device: torch.device) -> bool:
    """Whether it is torch on a CPU that cannot compute in 16 bits. On a GPU it can, and what it cannot is worth a failure."""
    return device.type == "cpu" and bool(NO_KERNEL.search(str(error)))


def _failure(workload: Workload, model: nn.Module, device: torch.device) -> Exception | None:
    """What the loss of a few samples raises, if anything: a step will say it, and what it warns of."""
    batch = workload.split("train", torch.device("cpu")).rows_on(device, slice(ROWS))
    with _left_as_it_was(model, device), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as that nothing has a gradient here
        try:
            workload.loss(model, batch)
        except Exception as error:
            return error
    return None


@contextmanager
def _left_as_it_was(model: nn.Module, device: torch.device) -> Iterator[None]:
    buffers = Buffers(model)
    with same_draws(device):
        yield
    buffers.put_back()


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None
