"""How a workload is trained."""

from typing import Any, Literal

from pydantic import PositiveInt, ValidationInfo, field_validator

from mpcore.records.base import NonNegativeFloat, Number, PositiveFloat, Record

OF_OPTIMISER = {"momentum": ("SGD",), "betas": ("Adam", "AdamW"), "eps": ("Adam", "AdamW")}
"""Fields that not every optimiser has."""


class Recipe(Record):
    """How a workload is trained. `optimiser` is the name of a class in torch.optim that has a fused kernel; any other is what
    `Workload.optimiser` returns.

    A batch of `batch_size` samples is one step. Its last may be smaller, or is left out with `drop_last`. With
    `accumulation` = n it goes through the model in n parts, whose gradients are added up.
    """

    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    optimiser: Literal["Adam", "AdamW", "SGD"] = "AdamW"
    weight_decay: Number = 0.01
    momentum: NonNegativeFloat = 0.0
    betas: tuple[NonNegativeFloat, NonNegativeFloat] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    max_norm: PositiveFloat | None = None
    """The Euclidean norm that the gradient of a step is clipped to."""
    accumulation: PositiveInt = 1
    drop_last: bool = False
    test_each_epoch: bool = False
    """Whether it is tested after each epoch, and not only after the last."""

    @field_validator(*OF_OPTIMISER)
    @classmethod
    def _is_of_the_optimiser(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        having, optimiser = OF_OPTIMISER[info.field_name], info.data.get("optimiser")
        if optimiser not in having and value != cls.model_fields[info.field_name].default:
            raise ValueError(f"{optimiser} has none, {' and '.join(having)} {'has' if len(having) == 1 else 'have'}")
        return value

    def steps_per_epoch(self, rows: int) -> int:
        """Batches that go through the model in an epoch of `rows` samples."""
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)
