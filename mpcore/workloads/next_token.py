"""What all decoders do: predict the next token; perplexity and tokens a second."""

from abc import abstractmethod

from torch import Tensor, nn, stack

from mpcore.data import Batch
from mpcore.records import Confusion
from mpcore.workloads.base import Workload, cross_entropy


class WithLoss(nn.Module):
    """Stands before a causal model of transformers. Called with token ids it returns the logits, and with targets, too, the
    mean loss. A compiler then fuses the passes over the logits, which in FP32 are the largest tensors of a step."""

    def forward(self, input_ids: Tensor, targets: Tensor | None = None) -> Tensor:
        logits: Tensor = super().forward(input_ids=input_ids, use_cache=False).logits
        return logits if targets is None else cross_entropy(logits.flatten(0, 1), targets.flatten())


class NextToken(Workload):
    """Its model is `WithLoss`; its data have a column `input_ids`, (rows, length + 1): sequences, each with what follows it."""

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
        ids = batch["input_ids"]
        loss: Tensor = model(ids[:, :-1], ids[:, 1:])
        return loss

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """(batch,) FP32: the mean negative log-likelihood of each sequence. One by one: 32 in FP32 are 7 GB of logits."""
        rows = zip(self._logits(model, batch), batch["input_ids"][:, 1:], strict=True)
        return stack([cross_entropy(logits, ids) for logits, ids in rows]).float()

    def score(self, truth: Batch, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]:
        return {"perplexity": predicted.double().mean().exp().item()}, None

    def _logits(self, model: nn.Module, batch: Batch) -> Tensor:
        logits: Tensor = model(batch["input_ids"][:, :-1])
        return logits
