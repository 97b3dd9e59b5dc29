"""What a step dispatches: operations by name, format, shapes and module, casts, synchronisations, and what is saved.

Forward, the module is the innermost one that runs. Backward, it is the one in which autograd made the node that runs now: torch
numbers nodes in the order in which they are made.
"""

import traceback
from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode  # private API
from torch.utils._pytree import tree_leaves  # private API

from mpcore.device.flops import flops_of, low_precision_share
from mpcore.errors import source_line
from mpcore.records import Operation

CASTS = ("aten::_to_copy", "aten::copy_", "aten::_foreach_copy_")
READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal")
"""They hand a value of a tensor to Python, which on a GPU waits for all that was launched."""
VIEWS = ("aten::detach", "aten::alias")
"""They are nothing but what watching adds, or another name."""
MOST_SHAPES = 3
"""Of the tensors that an operation is called with: enough to tell products apart, and an optimiser has hundreds."""


class Dispatch(TorchDispatchMode):
    """with Dispatch(step.model) as dispatched: step.launch(batch)

    What torch.compile made of a model is passed over: the operations that it stands for are counted.
    """

    supports_higher_order_operators = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.operations: Counter[Operation] = Counter()
        self.flops: Counter[torch.dtype] = Counter()
        self.casts = self.cast_bytes = self.saved_bytes = 0
        self.synchronisations: list[str] = []
        self._names = {module: name for name, module in model.named_modules()}
        self._weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self._saved: set[int] = set()
        self._running: list[str] = []
        self._module_of: dict[int, str] = {}
        self._backward_seen = False

    def __enter__(self) -> "Dispatch":
        with ExitStack() as stack:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(saved_tensors_hooks(self._save, lambda saved: saved))
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
        return low_precision_share(self.flops)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name if hasattr(func, "_schema") else str(func)  # private API
        if name in READS:
            self.synchronisations.append(f"{name.removeprefix('aten::')}{source_line(traceback.extract_stack())}")
        module, phase = self._where()
        out = func(*args, **kwargs)
        if name in VIEWS:
            return out
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        dtype = self._format(func, name, inputs, args, kwargs, out)
        if name in CASTS:
            self._count_cast(name, args, inputs, out)
        shapes = " ".join("x".join(map(str, x.shape)) or "-" for x in inputs[:MOST_SHAPES])
        self.operations[Operation(name.removeprefix("aten::"), dtype, shapes, module, phase)] += 1
        return out

    def _where(self) -> tuple[str, str]:
        """Module and phase of what is dispatched now."""
        if torch._C._current_graph_task_id() != -1:  # private API
            self._backward_seen = True
            node = torch._C._current_autograd_node()  # private API
            own = self._running[-1] if self._running else ""  # a forward pass inside, as of a checkpoint
            return own or (self._module_of.get(node._sequence_nr(), "") if node else ""), "backward"  # private API
        module = self._running[-1] if self._running else ""
        self._module_of[torch._C._autograd._get_sequence_nr() - 1] = module  # private API
        return module, "update" if self._backward_seen and not self._running else "forward"

    def _format(self, func: Any, name: str, inputs: list[Tensor], args: Any, kwargs: Any, out: Any) -> str:
        """Of an operation: that of its result, or of the inputs of a product, whose FLOPs are counted."""
        if counted := flops_of(func, args, kwargs, out):
            self.flops[counted[0]] += counted[1]
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
        storage = saved.untyped_storage()
        if storage.data_ptr() not in self._saved | self._weights:
            self._saved.add(storage.data_ptr())
            self.saved_bytes += storage.nbytes()
        return saved

    def _enter_module(self, module: nn.Module, inputs: Any) -> None:
        self._running.append(self._names.get(module) or (self._running[-1] if self._running else ""))

    def _leave_module(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._running.pop()


def _rounds_to_tf32(name: str) -> bool:
    """Whether torch's switches let a product of FP32 round its inputs: on a CPU, too, where none does."""
    cudnn: Any = torch.backends.cudnn
    setting = cudnn.conv.fp32_precision if "conv" in name else torch.backends.cuda.matmul.fp32_precision
    return bool(setting == "tf32")


def short(dtype: torch.dtype) -> str:
    """Its name, as torch's documentation writes it, without the module."""
    return str(dtype).removeprefix("torch.")
