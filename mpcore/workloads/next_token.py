"""What all decoders do: predict the next token; perplexity and tokens a second."""

from abc import abstractmethod

from torch import Tensor, nn, stack

from mpcore.data import Batch
from mpcore.records import Confusion
from mpcore.workloads.base import Workload, cross_entropy


class NextToken(Workload):
    """Its data have a column `input_ids`, (rows, length + 1): sequences, and what follows their last token."""

    unit = "tokens"
    metric = "perplexity"
    lower_is_better = True

    @property
    @abstractmethod
    def length(self) -> int:
        """Tokens of a sequence."""

    @property
    def units_per_sample(self) -> int:
        return self.length

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(self._logits(model, batch).flatten(0, 1), batch["input_ids"][:, 1:].flatten())

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """(batch,) FP32: the mean negative log-likelihood of each sequence. One by one: 32 in FP32 are 7 GB of logits."""
        rows = zip(self._logits(model, batch), batch["input_ids"][:, 1:], strict=True)
        return stack([cross_entropy(logits, ids) for logits, ids in rows]).float()

    def score(self, truth: Batch, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]:
        return {"perplexity": predicted.double().mean().exp().item()}, None

    def _logits(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(input_ids=batch["input_ids"][:, :-1], use_cache=False).logits
