"""The learning rate, step by step."""


def warm_up_and_down(step: int, steps: int) -> float:
    """The share of the learning rate for `step`, counted from 1. It goes up in a line over the first tenth of the steps, then
    down to zero (Devlin et al., "BERT", 2019). A training that ends at rest depends less on its seed."""
    warm_up = max(steps // 10, 1)
    return min(step / warm_up, (steps - step) / max(steps - warm_up, 1))
