"""The base of all precision modes, which is plain FP32; a mode overrides only what differs.

A mode lives through four calls a step: `forward()` around the loss, `backward(loss)` once for each micro-batch, `update()`
once. None of them waits for the device. The loss scale and the skipped steps stay in device tensors until somebody reads
`state()`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves  # private API

from mpcore.device.machine import name_and_capability
from mpcore.errors import reraised_as
from mpcore.execution.eager import Eager
from mpcore.execution.host import EAGER, frozen_in_a_graph
from mpcore.precision.casting import Kept
from mpcore.precision.errors import Inapplicable, PrecisionError
from mpcore.precision.optimisers import (
    OwnOptimiser,
    ParameterGroup,
    WeightGroup,
    as_real,
    load,
    refused,
    saved,
    sparse_weights,
    without_fused,
)
from mpcore.precision.rates import Rates
from mpcore.precision.scale import ScaleState, Skip, scale_state
from mpcore.precision.tf32 import tf32_switches
from mpcore.records import Recipe
from mpcore.registry import Registry


class Precision:
    """A precision mode: here weights, arithmetic, gradients and optimiser state in FP32, TF32 off. A mode of one's own
    overrides what differs, and says in the class attributes what it claims; the contract holds it to that.

    keep_fp32: patterns (as of fnmatch) of qualified module names that compute in FP32 in a 16-bit mode. max_norm: the
    gradients, unscaled, are clipped to this Euclidean norm. None for the norm of the recipe.
    """

    name: ClassVar[str]
    dtype: ClassVar[torch.dtype] = torch.float32
    tf32: ClassVar[bool] = False
    scales: ClassVar[bool] = False
    """Whether the loss is scaled."""
    low_precision_share: ClassVar[float] = 0.0
    """The least share of FLOPs that this mode must do in 16 bits to be what its name says."""
    masters: ClassVar[bool] = True
    """Whether updates are added up in FP32."""
    loses_updates: ClassVar[bool] = False
    """Whether small updates are known to be lost, and with them some accuracy."""
    negative_control: ClassVar[bool] = False
    """A negative control: known to fail, trained to show that failure is seen."""
    is_mixed: ClassVar[bool] = False
    """Whether it is mixed precision, which is expected to be faster than the FP32 modes where the workload says so."""
    has_ceiling: ClassVar[bool] = True
    """Whether a plain product in `dtype` shows what the matrix units reach in this mode."""
    on_request: ClassVar[bool] = False
    """Left out where no mode is named."""
    compiled: ClassVar[bool] = False
    """Whether a GPU of a data centre measures it compiled, too, where no execution is named."""
    compiled_only: ClassVar[str] = ""
    """Why it is worth nothing on a GPU unless the model is compiled; empty where it is."""
    casts: ClassVar[bool] = False
    """Whether the model itself is cast, so that what its author does with autocast has no effect."""
    draws: ClassVar[bool] = False
    """Whether updates are random, so that replicas must draw the same numbers."""
    fused: ClassVar[bool] = True
    """The fused optimiser skips a step on the device; the others would wait for the host."""

    recipe: Recipe
    weight_groups: Sequence[WeightGroup] = ()
    """Of the workload; empty where all weights are trained alike. Set before `prepare`, as is the next."""
    own_optimiser: OwnOptimiser | None = None
    """The workload's, where it has one."""
    shard: Callable[[], None] | None = None
    """Called by `prepare` once the model is cast, and before the optimiser is given its weights."""
    made: torch.optim.Optimizer | None = None
    """The optimiser that `make_optimiser` has returned. A mode that builds one of its own does without it."""
    _rates: Rates | None = None
    _skip: Skip | None = None
    _layouts = 0

    def __init__(self, *, keep_fp32: Sequence[str] = (), max_norm: float | None = None) -> None:
        self.keep_fp32 = tuple(keep_fp32)
        self.max_norm = max_norm
        self.kept: Sequence[Kept] = ()

    @classmethod
    def roundoff(cls) -> float:
        """Half the distance from 1 to the next number of the format that is computed in."""
        return torch.finfo(torch.float16 if cls.tf32 else cls.dtype).eps / 2  # TF32 has the mantissa of FP16

    @classmethod
    def unsupported(cls, device: torch.device) -> str | None:
        """Why not even a single step can run on `device`, or None."""
        if cls.dtype == torch.bfloat16 and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
            return f"{cls.name} needs native bf16 arithmetic (compute capability 8.0); this is {name_and_capability(device)}"
        if cls.dtype == torch.float16 and device.type == "cuda" and torch.cuda.get_device_capability(device) < (7, 0):
            return f"{cls.name} needs FP16 tensor cores (compute capability 7.0); this is {name_and_capability(device)}"
        return None

    @classmethod
    def unsupported_by(cls, execution: type[Eager], device: torch.device) -> str | None:
        """Why a step that `execution` runs on `device` is not measured, or None."""
        if not cls.compiled_only or execution.compiles or device.type != "cuda":
            return None
        return f"{cls.name} is not measured as {execution.name}: {cls.compiled_only}: expected --mp-execution compile"

    def patched(self, model: nn.Module) -> nn.Module:
        """What a step trains in the place of `model`: here itself."""
        return model

    def prepare(self, model: nn.Module, recipe: Recipe) -> None:
        """Takes the FP32 `model` over: casts it in place where the mode says so, and builds the optimiser."""
        self.model = model
        if self.shard is not None:
            self.shard()
        self.optimiser = self.make_optimiser(self.trained(model), recipe)

    @staticmethod
    def trained(model: nn.Module) -> dict[str, nn.Parameter]:
        """The parameters that require a gradient, by name."""
        return {name: p for name, p in model.named_parameters() if p.requires_grad}

    def make_optimiser(self, weights: Mapping[str, Tensor], recipe: Recipe) -> torch.optim.Optimizer:
        """The workload's own for `weights`, or else the recipe's."""
        self.recipe = recipe
        groups = self.parameter_groups(weights, recipe)
        if self.own_optimiser is not None:
            self.made = self.own_optimiser(groups, weights)
        else:
            self.made = self.build_optimiser(groups if self.weight_groups else groups[0]["params"], recipe)
        return self.made

    def parameter_groups(self, weights: Mapping[str, Tensor], recipe: Recipe) -> list[ParameterGroup]:
        """The workload's groups as torch's optimisers take them, with the rates and decays of `recipe`. weights: by name."""
        groups = self.weight_groups or [WeightGroup(tuple(weights))]
        rate, decay = recipe.learning_rate, recipe.weight_decay
        return [{"params": [weights[n] for n in g.names], "lr": rate * g.rate, "weight_decay": decay * g.decay} for g in groups]

    def build_optimiser(self, weights: Sequence[Any], recipe: Recipe) -> torch.optim.Optimizer:
        """The recipe's. weights: tensors, or parameter groups where the workload has some."""
        tensors = [w for group in weights for w in (group["params"] if isinstance(group, dict) else (group,))]
        fused = self.fused and not self.sparse() and not any(without_fused(w, recipe.optimiser) for w in tensors)
        own = {"momentum": recipe.momentum} if recipe.optimiser == "SGD" else {"betas": recipe.betas, "eps": recipe.eps}
        options: dict[str, Any] = own | ({"fused": True} if fused else {"foreach": True})
        optimiser = getattr(torch.optim, recipe.optimiser)
        return optimiser(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, **options)

    def sparse(self) -> Sequence[str]:
        """The names of weights whose gradients the optimiser gets as sparse ones."""
        return sparse_weights(self.model)

    def refused(self) -> str | None:
        """Why the optimiser cannot train the model, or None: said once it was prepared."""
        if self.made is not self.optimiser and (self.weight_groups or self.own_optimiser):
            hook = "groups()" if self.weight_groups else "optimiser()"
            return f"{self.name} builds an optimiser of its own, which leaves out what {hook} of the workload returns"
        weights, sparse = self.trained(self.model), sparse_weights(self.model)
        if self.max_norm is not None and sparse:
            return (
                f"torch cannot clip the sparse gradient of {sparse[0]}: expected no max_norm, or an Embedding with sparse=False"
            )
        return refused(self.optimiser, weights, sparse)

    @property
    def asks_the_host(self) -> bool:
        """Whether the host decides if a step is skipped: for an optimiser that cannot do so, and counts there."""
        return self._skip is not None and self._skip.on_host

    @property
    def uncapturable(self) -> str | None:
        """Why a graph of a step would train in another way, or None."""
        if self.asks_the_host:
            return f"{type(self.optimiser).__name__} counts on the host, and so skips no step in a graph: {EAGER}"
        return frozen_in_a_graph(self.optimiser)

    def settings(self) -> AbstractContextManager[None]:
        """Within it the process is set as this mode needs it: here the TF32 switches. A step runs in it, and nothing else."""
        return tf32_switches(self.tf32)

    def forward(self) -> AbstractContextManager[Any]:
        """The context in which a loss or a prediction is computed."""
        return nullcontext()

    def reraised(self, method: str) -> AbstractContextManager[None]:
        """Within it, what `method` raises becomes a PrecisionError. Memory that runs out is no mistake of its author's."""
        return reraised_as(PrecisionError, f"{self.name}: {method}()", Inapplicable, torch.cuda.OutOfMemoryError)

    def fp32_on_purpose(self, given: Any = ()) -> bool:
        """Whether what runs now, with what it is given, is in FP32 because somebody asked for it. That is so in a kept module.
        It is so, too, where the model was cast and its author casts back: no weight that is stored in FP32 is given then."""
        return any(kept.running for kept in self.kept) or (self.casts and not _has_fp32_weight(given))

    def check_kept(self) -> None:
        """Raises PrecisionError for a module that was to be kept in FP32 and is never called, though a gradient has come to its
        weights."""
        for kept in self.kept:
            if not kept.called and kept.reached:
                raise PrecisionError(
                    f"{self.name}: {kept.name!r} cannot be kept in FP32: it is never called, and another module uses its "
                    "weights; expected the name of one that is called"
                )

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of one micro-batch, whose `loss` is already weighted by its share of the batch."""
        loss.backward()

    def update(self) -> None:
        """One step of the optimiser with the gradients gathered so far, which are dropped."""
        self.clip()
        self.step_optimiser()
        self.optimiser.zero_grad()

    def step_optimiser(self) -> None:
        """Part of `update`: the weights move."""
        self.optimiser.step()

    def step_unless(self, found_inf: Tensor) -> None:
        """A step, but not where `found_inf` is 1, of an optimiser that cannot skip one by itself."""
        if self._skip is None:
            self._skip = Skip(self.optimiser)
        self._skip(found_inf)

    def clip(self) -> None:
        """Part of `update`: scales the gradients down to a norm of `max_norm`, where there is one."""
        if self.max_norm is not None:
            weights = [p for group in self.optimiser.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.max_norm, foreach=True)

    def weights(self) -> dict[str, Tensor]:
        """By name, the tensors that the optimiser updates: the model's parameters, or their FP32 masters. Complex ones as pairs
        of real numbers."""
        return {name: as_real(p.detach()) if p.is_complex() else p for name, p in self.trained(self.model).items()}

    def gradients(self) -> dict[str, Tensor]:
        """By name, the gradients of `weights()` as the optimiser is given them, for those that the loss has reached."""
        weights = self.weights() | {name: p for name, p in self.trained(self.model).items() if p.is_complex()}
        return {name: as_real(w.grad) for name, w in weights.items() if w.grad is not None}

    def set_learning_rate(self, learning_rate: float) -> None:
        """Sets the rate of each parameter group: `learning_rate` times the group's factor, which is its rate over the recipe's
        as the optimiser was built."""
        if self._rates is None:
            self._rates = Rates(self.optimiser, self.recipe.learning_rate)
        self._rates.set(learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """Copies of what a step changes beside the model: masters, what the optimiser remembers, and its options, the loss
        scale. Waits for the device."""
        scale = {"loss_scale": self.loss_scale, "skipped": self.skipped}
        return {
            "masters": {name: master.detach().clone() for name, master in self._masters().items()},
            "optimiser": saved(self.optimiser),
            "scale": {name: value.item() for name, value in scale.items() if value is not None},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes what `state_dict` gave, of the same mode with the same model. It is written where a captured step reads; where
        that cannot be, the step is captured anew."""
        if not load(self.optimiser, state["optimiser"]):
            self._layouts += 1
        with torch.no_grad():
            for name, master in self._masters().items():
                master.copy_(state["masters"][name])
        for name, value in state["scale"].items():
            if isinstance(place := getattr(self, name, None), Tensor):
                place.fill_(value)

    def _masters(self) -> dict[str, Tensor]:
        """Those of `weights()` that are not the model's own."""
        own = {id(p) for p in self.model.parameters()}
        return {name: w for name, w in self.weights().items() if id(w) not in own}

    @property
    def layout(self) -> Hashable:
        """What a captured step hangs on beside its batch: which tensors the optimiser updates. None where it cannot be captured
        yet."""
        return None if self._skip is not None and not self._skip.ready else self._layouts

    @property
    def remark(self) -> str | None:
        """What is to be known of how the model was taken over, for the report: here of groups that no other mode has."""
        if self.made is self.optimiser or self._rates is None or set(self._rates.factors) == {1.0}:
            return None
        rates = ", ".join(f"{factor:g}" for factor in self._rates.factors)
        return (
            f"its own optimiser has groups at {rates} times the recipe's rate, and other modes have none: expected groups() in "
            "the workload. All modes honour them"
        )

    @property
    def loss_scale(self) -> Tensor | None:
        """0-dim FP32 tensor on the device, or None."""
        return None

    @property
    def skipped(self) -> Tensor | None:
        """0-dim tensor on the device that counts skipped steps, or None."""
        return None

    def state(self) -> ScaleState:
        """The loss scale and the number of skipped steps, as the host knows them. Waits for the device."""
        return scale_state(self.loss_scale, self.skipped)


def _has_fp32_weight(values: Any) -> bool:
    return any(isinstance(x, nn.Parameter) and x.dtype == torch.float32 for x in tree_leaves(values))


MX = "is not there yet: formats with a scale for each block need compute capability 10.0; expected fp8 or fp8-rowwise"
MX_NAMES = ("mxfp8", "mxfp6", "mxfp4", "nvfp4")
precisions = Registry("precision", Precision, planned={name: f"{name} {MX}" for name in MX_NAMES})
