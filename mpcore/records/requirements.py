"""What a case must reach."""

from mpcore.records.base import NonNegativeFloat, Number, PositiveFloat, Record


class Requirements(Record):
    """What a measurement must reach, and what its mode is known for.

    They are looked up once, from mode and workload, and stored with the measurement, so that a saved run can be judged again by
    anybody. None, and an empty tuple: nothing is required.
    """

    negative_control: bool = False
    """Whether the mode is known to fail, and is measured to show that failure is seen."""
    loses_updates: bool = False
    """Whether the mode is known to lose small updates, and with them some accuracy."""
    base: str | None = None
    """The mode that it is a variant of: with a patch on the model, which is to be worth it."""
    must_beat: tuple[str, ...] = ()
    """The modes than which a step must be faster."""
    loss_error: NonNegativeFloat | None = None
    """Upper limits of the relative errors against FP64, here and below."""
    gradient_error: NonNegativeFloat | None = None
    update_error: NonNegativeFloat | None = None
    flushed_share: NonNegativeFloat | None = None
    low_precision_share: tuple[Number, Number] | None = None
    """The least and the largest share of FLOPs in 16 bits or fewer."""
    tolerance_points: NonNegativeFloat | None = None
    """What a training may lose to FP32: points of its metric, or per cent of one that is better when it is lower."""
    update_noise: NonNegativeFloat = 0.0
    """What chance may make of the error of updates, which says nothing then."""
    must_learn: bool = True
    """Whether the loss must fall while the step learns two batches: one of adversaries need not."""
    learned_share: PositiveFloat = 0.2
    """By what share it must, then."""
    at_least: PositiveFloat | None = None
    """How many times as fast as another trainer a step must be."""
    same_mode_at_least: PositiveFloat | None = None
    """The same of a step in the other's mode, by `compile` against `reduce-overhead`."""

    @property
    def low_precision(self) -> bool:
        """Whether the mode is to compute in 16 bits or fewer, and to succeed."""
        return bool(self.low_precision_share and self.low_precision_share[0]) and not self.negative_control
