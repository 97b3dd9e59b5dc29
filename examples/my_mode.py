from mpcore.precision.master import BF16MasterWeights
from mpcore.registry import precisions


@precisions.register
class ClippedMasters(BF16MasterWeights):
    """As bf16-manual, with gradients clipped to a norm of 1, as those that they are compared with are then, too."""

    name = "bf16-clipped"

    def __init__(self, **options):
        super().__init__(**({"max_norm": 1.0} | options))
