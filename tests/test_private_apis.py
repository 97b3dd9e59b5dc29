"""The private APIs of others that the package uses: each is marked where it is used, and tried here. An upgrade that takes one
away fails this file first."""

import ast
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

PACKAGE = Path(__file__).parent.parent / "mpcore"
MARK = "# private API"
NAMED_TUPLE = ("_replace", "_fields")
"""Public, though they begin with an underscore."""
NO_GPU = not torch.cuda.is_available()


def torchao_adamw():
    from torchao import optim

    return optim._AdamW


def float8_filter():
    from torchao.float8 import float8_linear_utils

    return float8_linear_utils._auto_filter_for_recipe("rowwise", filter_fqns=[])


def accelerator_state():
    from accelerate.state import AcceleratorState

    return AcceleratorState._reset_state


def accelerator_shared_state():
    from accelerate.state import AcceleratorState

    return AcceleratorState._shared_state is not None


def trainer_epoch():
    from transformers import Trainer

    return Trainer._run_epoch


def attention():
    from transformers import BertConfig

    return hasattr(BertConfig(), "_attn_implementation")


def count_of_gpus():
    from transformers import TrainingArguments

    arguments = TrainingArguments(use_cpu=True)
    return arguments.n_gpu == arguments._n_gpu


def fingerprint():
    from datasets import Dataset

    return Dataset.from_dict({"a": [1]})._fingerprint


def batch_norm():
    from torch.nn.modules.batchnorm import _BatchNorm

    return issubclass(nn.BatchNorm2d, _BatchNorm)


def fixture_definitions():
    from _pytest.python import Metafunc

    return "_arg2fixturedefs" in Metafunc.__init__.__code__.co_names


def dynamo():
    from torch._dynamo import config, convert_frame, exc, utils

    fields = {"duration_us", "recompile_reason", "co_name", "co_filename", "co_firstlineno", "compile_id"}
    assert fields <= utils.CompilationMetrics.__dataclass_fields__.keys()
    assert isinstance(convert_frame.input_codes.seen, list)
    assert issubclass(exc.FailOnRecompileLimitHit, Exception)
    assert isinstance(utils.graph_break_reasons, list)
    assert isinstance(utils.get_compilation_metrics(), list)
    assert callable(utils.clear_compilation_metrics)
    assert callable(utils.set_compilation_metrics_limit)
    assert utils.counters["inductor"]["fxgraph_cache_none"] == 0
    return config.recompile_limit and None not in (
        config.fail_on_recompile_limit_hit,
        config.use_recursive_dict_tags_for_guards,
    )


SCALER = torch.amp.GradScaler("cpu")
APIS = {
    "_C": lambda: torch._C,
    "_dynamo": dynamo,
    "_call_impl": lambda: nn.Linear(1, 1)._call_impl,
    "_compiled_call_impl": lambda: nn.Linear(1, 1)._compiled_call_impl is None,
    "_demangle": lambda: torch._C._demangle("_Z1fv") == "f()",
    "_autograd": lambda: torch._C._autograd,
    "_get_sequence_nr": lambda: torch._C._autograd._get_sequence_nr,
    "_sequence_nr": lambda: torch.ones(1, requires_grad=True).sum().grad_fn._sequence_nr,
    "_current_autograd_node": lambda: torch._C._current_autograd_node,
    "_current_graph_task_id": lambda: torch._C._current_graph_task_id() == -1,
    "_cuda_clearCublasWorkspaces": lambda: NO_GPU or torch._C._cuda_clearCublasWorkspaces,
    "_cuda_beginAllocateCurrentStreamToPool": lambda: NO_GPU or torch._C._cuda_beginAllocateCurrentStreamToPool,
    "_cuda_endAllocateToPool": lambda: NO_GPU or torch._C._cuda_endAllocateToPool,
    "_cuda_releasePool": lambda: NO_GPU or torch._C._cuda_releasePool,
    "_accelerator_setAllocatorSettings": lambda: torch._C._accelerator_setAllocatorSettings,
    "_sleep": lambda: torch.cuda._sleep,
    "_get_current_function_mode_stack": lambda: torch.overrides._get_current_function_mode_stack() == [],
    "_functorch": lambda: torch._C._functorch.is_functorch_wrapped_tensor(torch.zeros(1)) is False,
    "_version": lambda: torch.zeros(1)._version == 0,
    "_foreach_copy_": lambda: torch._foreach_copy_,
    "_amp_foreach_non_finite_check_and_unscale_": lambda: torch._amp_foreach_non_finite_check_and_unscale_,
    "_amp_update_scale_": lambda: torch._amp_update_scale_,
    "_found_inf_per_device": lambda: SCALER._found_inf_per_device,
    "_get_scale_async": lambda: SCALER._get_scale_async,
    "_per_optimizer_states": lambda: SCALER._per_optimizer_states is not None,
    "_apply": lambda: nn.Linear(1, 1)._apply,
    "_reversed_padding_repeated_twice": lambda: nn.Conv2d(1, 1, 1)._reversed_padding_repeated_twice is not None,
    "_scaled_dot_product_cudnn_attention": lambda: torch.ops.aten._scaled_dot_product_cudnn_attention,
    "_scaled_dot_product_cudnn_attention_backward": lambda: torch.ops.aten._scaled_dot_product_cudnn_attention_backward,
    "_scaled_dot_product_efficient_attention": lambda: torch.ops.aten._scaled_dot_product_efficient_attention,
    "_scaled_dot_product_efficient_attention_backward": lambda: torch.ops.aten._scaled_dot_product_efficient_attention_backward,
    "_scaled_dot_product_flash_attention": lambda: torch.ops.aten._scaled_dot_product_flash_attention,
    "_scaled_dot_product_flash_attention_backward": lambda: torch.ops.aten._scaled_dot_product_flash_attention_backward,
    "_scaled_dot_product_flash_attention_for_cpu": lambda: torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
    "_scaled_dot_product_flash_attention_for_cpu_backward": lambda: (
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    ),
    "_schema": lambda: torch.ops.aten.add.Tensor._schema.name,
    "_pytree": lambda: torch.utils._pytree.tree_map,
    "_python_dispatch": lambda: torch.utils._python_dispatch.TorchDispatchMode,
    "_set_ddp_runtime_logging_sample_rate": lambda: DistributedDataParallel._set_ddp_runtime_logging_sample_rate,
    "_BatchNorm": batch_norm,
    "_AdamW": torchao_adamw,
    "_auto_filter_for_recipe": float8_filter,
    "_reset_state": accelerator_state,
    "_shared_state": accelerator_shared_state,
    "_run_epoch": trainer_epoch,
    "_attn_implementation": attention,
    "_n_gpu": count_of_gpus,
    "_fingerprint": fingerprint,
    "_arg2fixturedefs": fixture_definitions,
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and len(name) > 1 and name not in NAMED_TUPLE


def defined(tree: ast.Module) -> set[str]:
    """Names of our own: what is defined, assigned, or set on an object."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            found |= {node.attr} if node.value.id == "self" else set()
    return found


def used(tree: ast.Module) -> list[tuple[str, int]]:
    """Private names, each with its line, that are taken from an object or imported from a module of others."""
    found = [(node.attr, node.end_lineno) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("mpcore"):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found += [(name, node.lineno) for name in names]
    return [(name, line) for name, line in found if is_private(name) and name != "_exit"]


TREES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
OWN = set().union(*(defined(tree) for tree in TREES.values()))
USES = [
    pytest.param(name, path, line, id=f"{path.relative_to(PACKAGE)}-{line}-{name}")
    for path, tree in TREES.items()
    for name, line in used(tree)
    if name not in OWN
]


@pytest.mark.parametrize(("name", "path", "line"), USES)
def test_a_private_api_is_marked_and_listed(name, path, line):
    assert name in APIS
    assert MARK in path.read_text().splitlines()[line - 1]


@pytest.mark.parametrize("name", APIS)
def test_a_private_api_is_there(name):
    assert APIS[name]()
    assert name in {param.values[0] for param in USES}
