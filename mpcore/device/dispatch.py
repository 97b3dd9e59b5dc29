"""What a step dispatches: operations by name, format, shapes and module, casts, synchronisations, and what is saved.

Forward, the module is the innermost one that runs. Backward, it is the one in which autograd made the node that runs now: torch
numbers nodes in the order in which they are made.
"""

import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import graph
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode  # private API
from torch.utils._pytree import tree_leaves  # private API

from mpcore.device.flops import LOW_PRECISION, Updates, flops_of
from mpcore.device.storage import storages
from mpcore.device.synchronisation import waits
from mpcore.errors import source_line
from mpcore.records import Operation

CASTS = ("aten::_to_copy", "aten::copy_", "aten::_foreach_copy_")
IGNORED = ("aten::detach", "aten::alias", "profiler::_record_function_enter_new", "profiler::_record_function_exit")
"""They are nothing but what watching adds, or another name."""
MOST_SHAPES = 3
"""Of the tensors that an operation is called with: enough to tell products apart, and an optimiser has hundreds."""
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By number of dimensions."""


class Dispatch(TorchDispatchMode):
    """with Dispatch(step.model) as dispatched: step.launch(batch)

    What torch.compile made of a model is passed over: the operations that it stands for are counted. Autograd runs in the
    thread that calls it. What gradients of torch.func save is not counted.
    """

    supports_higher_order_operators = True

    def __init__(self, model: nn.Module, devices: Iterable[str] = ()) -> None:
        """devices: types of those that the step runs on, where its weights do not say it."""
        super().__init__()
        self.operations: Counter[Operation] = Counter()
        self.flops: Counter[str] = Counter()
        self.products: set[tuple[str, str, str]] = set()
        """Module, phase and format of those whose FLOPs are counted."""
        self.casts = self.cast_bytes = self.saved_bytes = 0
        self.synchronisations: list[str] = []
        self._names = {module: name for name, module in model.named_modules()}
        self._owners = {p: name for module, name in self._names.items() for p in module.parameters(recurse=False)}
        self._known = {key for p in model.parameters() for key in storages(p)}
        self._devices = {*devices, *(p.device.type for p in model.parameters())}
        self._running: list[str] = []
        self._module_of: dict[int, str] = {}
        self._backward_seen = False
        self._looking = False

    def __enter__(self) -> "Dispatch":
        self._depth = len(traceback.extract_stack()) - 2  # from its caller on
        self._noted = torch._C._autograd._get_sequence_nr()  # private API
        hooks = graph.saved_tensors_hooks(self._save, lambda saved: saved)
        with ExitStack() as stack:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(torch.autograd.set_multithreading_enabled(False))  # nodes are numbered by thread
            stack.enter_context(hooks)
            self._updates = stack.enter_context(Updates())
            stack.enter_context(_without_in_torch_func(hooks))
            for handle in (
                register_module_forward_pre_hook(self._enter_module),
                register_module_forward_hook(self._leave_module, always_call=True),
            ):
                stack.callback(handle.remove)
            super().__enter__()
            self._watching = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._watching.close()

    @property
    def low_precision_share(self) -> float:
        return sum(self.flops[short(dtype)] for dtype in LOW_PRECISION) / max(self.flops.total(), 1)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name if hasattr(func, "_schema") else str(func)  # private API
        if self._looking or name in IGNORED:
            return func(*args, **kwargs)
        module, phase = self._where()
        out = func(*args, **kwargs)
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        own = name.removeprefix("aten::")
        if waits(own, args, kwargs, out, self._devices):
            self.synchronisations.append(own.replace("_local_scalar_dense", "item") + self._line())
        counted = None if self._updates.running else flops_of(func, args, kwargs, out)
        dtype = self._format(name, inputs, counted, out)
        if counted:
            self.flops[dtype] += counted[1]
            self.products.add((module, phase, dtype))
        if name in CASTS:
            self._count_cast(name, args, inputs, out)
        shapes = " ".join(map(shape, inputs[:MOST_SHAPES]))
        self.operations[Operation(own, dtype, shapes, module, phase)] += 1
        return out

    def _line(self) -> str:
        """The line of the step which runs now, in parentheses."""
        return source_line(traceback.extract_stack()[self._depth : -2])

    def _where(self) -> tuple[str, str]:
        """Module and phase of what is dispatched now."""
        module = self._running[-1] if self._running else ""
        backward = _in_backward()
        if backward and not torch.is_grad_enabled():  # where it is, the gradient is a part of the loss
            self._backward_seen = True
        if backward and not module:  # else a forward pass is run again, as of a checkpoint
            module = self._module_of_node()
        self._note_nodes(module)
        return module, "backward" if backward else "update" if self._backward_seen and not self._running else "forward"

    def _module_of_node(self) -> str:
        """Where autograd made the node that runs now, or of the weight whose gradient it adds up."""
        node: Any = torch._C._current_autograd_node()  # private API
        if type(node).__name__ == "AccumulateGrad":
            return self._owners.get(node.variable, "")
        return self._module_of.get(node._sequence_nr(), "") if node else ""  # private API

    def _note_nodes(self, module: str) -> None:
        """Those that autograd has made since the last time are of `module`."""
        number = torch._C._autograd._get_sequence_nr()  # private API
        self._module_of |= dict.fromkeys(range(self._noted, number), module)
        self._noted = number

    def _format(self, name: str, inputs: list[Tensor], counted: tuple[torch.dtype, int] | None, out: Any) -> str:
        """The format of an operation: of its result, or of the inputs of a product, whose FLOPs are counted."""
        if counted:
            return "tf32" if counted[0] == torch.float32 and _rounds_to_tf32(name) else short(counted[0])
        results = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        return short((results or inputs)[0].dtype) if results or inputs else "-"

    def _count_cast(self, name: str, args: Any, inputs: list[Tensor], out: Any) -> None:
        if name == "aten::_foreach_copy_":
            pairs = list(zip(args[1], args[0], strict=True))
        else:
            pairs = [(inputs[1], inputs[0])] if name == "aten::copy_" and len(inputs) > 1 else [(inputs[0], out)]
        for source, result in pairs:
            if source.dtype != result.dtype and source.is_floating_point() and result.is_floating_point():
                self.casts += 1
                self.cast_bytes += source.numel() * source.element_size() + result.numel() * result.element_size()

    def _save(self, saved: Tensor) -> Tensor:
        """Without its history, or it would be a part of that for ever."""
        self._looking = True
        found = {} if self._backward_seen else storages(saved)  # a checkpoint keeps again, and not for long
        kept = saved.detach()
        self._looking = False
        self.saved_bytes += sum(storage.nbytes() for key, storage in found.items() if key not in self._known)
        self._known |= found.keys()
        return kept

    def _enter_module(self, module: nn.Module, inputs: Any) -> None:
        self._note_nodes(self._running[-1] if self._running else "")
        if not _in_backward():
            self._backward_seen = False  # another part of a batch
        self._running.append(self._names.get(module) or (self._running[-1] if self._running else ""))

    def _leave_module(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._note_nodes(self._running.pop())


@contextmanager
def _without_in_torch_func(hooks: graph.saved_tensors_hooks) -> Iterator[None]:
    """Within it, `hooks` are put aside while torch.func runs, which refuses to run with any."""
    disable, depth = graph.disable_saved_tensors_hooks, 0

    @contextmanager
    def put_aside(message: str) -> Iterator[None]:
        nonlocal depth
        if not depth:
            hooks.__exit__()
        depth += 1
        try:
            with disable(message):
                yield
        finally:
            depth -= 1
            if not depth:
                hooks.__enter__()

    graph.disable_saved_tensors_hooks = put_aside  # type: ignore[assignment]
    try:
        yield
    finally:
        graph.disable_saved_tensors_hooks = disable


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1  # private API


def shape(tensor: Tensor) -> str:
    """Such as "64x768", "-" of a scalar, "nhwc" behind it where channels are last; "?" for a size that has no number."""
    if tensor.is_nested and tensor.layout == torch.strided:
        return "?"
    sizes = "x".join(str(n) if isinstance(n, int) else "?" for n in tensor.shape) or "-"
    last = CHANNELS_LAST.get(tensor.dim())
    if last is None or tensor.layout != torch.strided or tensor.is_contiguous():
        return sizes
    return f"{sizes}:nhwc" if tensor.is_contiguous(memory_format=last) else sizes


def _rounds_to_tf32(name: str) -> bool:
    """Whether torch's switches let a product of FP32 round its inputs: on a CPU, too, where none does."""
    cudnn: Any = torch.backends.cudnn
    setting = cudnn.conv.fp32_precision if "conv" in name else torch.backends.cuda.matmul.fp32_precision
    return bool(setting == "tf32")


def short(dtype: torch.dtype) -> str:
    """Its name, as torch's documentation writes it, without the module."""
    return str(dtype).removeprefix("torch.")
