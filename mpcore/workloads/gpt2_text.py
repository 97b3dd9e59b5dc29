"""`gpt2-text`: GPT-2 small trained from scratch to predict the next token of a text; tokens a second and perplexity."""

import functools
from typing import Any

from datasets import Dataset
from tokenizers import Tokenizer
from torch import Tensor, nn, stack
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from mpcore.data import Batch, DataError, Split
from mpcore.data.generated.stories import stories, vocabulary
from mpcore.data.readers.text import beginning, sequences
from mpcore.data.source import EMBEDDED
from mpcore.data.vocabulary import byte_level, byte_level_of, size, word_level
from mpcore.records import Confusion, Recipe
from mpcore.workloads.attention import UNMASKED
from mpcore.workloads.base import Workload, cross_entropy, workloads
from mpcore.workloads.checkpoint import pretrained_model, pretrained_tokeniser

ROWS = {"tiny": {"train": 800, "test": 128}, "full": {"train": 1024, "test": 128}}
LENGTH = {"tiny": 32, "full": 1024}
WORDS = {"tiny": 512, "full": 50_257}
"""Of a vocabulary made from the training text, at most; the full model has as many embeddings, whatever the text needs."""
CHARACTERS = 8
"""Read for each token that is wanted, so that a long text is not read to its end: English has between 4 and 5."""
TINY = {
    "n_embd": 48,
    "n_layer": 2,
    "n_head": 2,
    "initializer_range": 0.1,  # what 0.02 is to a width of 768
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
    "attn_pdrop": 0.0,
}


@workloads.register
class Gpt2Text(Workload):
    """`tiny` is the same architecture, 48 wide and 2 layers deep.

    A folder holds `text/train.txt` or `text/train.parquet` (a column `text`) and the same for `test`; without it the last
    tenth of the training text is held out. Its vocabulary is that in `gpt2/`, or else made from the training text.
    """

    name = "gpt2-text"
    unit = "tokens"
    recipes = {
        "tiny": Recipe(epochs=1, batch_size=8, learning_rate=5e-3),
        "full": Recipe(epochs=4, batch_size=8, learning_rate=3e-4),
    }
    metric = "perplexity"
    lower_is_better = True
    tolerances = {"tiny": 5.0, "full": 1.0}
    conditioning = 16.0
    numerics_rows = {"tiny": 8, "full": 2}
    reads_checkpoint = True
    long_training = True
    amp_must_beat = ("fp32", "tf32")
    eager_amp_must_beat = ("fp32",)
    amp_not_faster_because = (
        "against TF32 a step of 8,192 tokens is launch-bound: eager autocast launches more kernels than a GPU of today "
        "takes time to run"
    )
    hub_id = "Salesforce/wikitext/wikitext-2-raw-v1"
    hub_model = "openai-community/gpt2"

    @property
    def units_per_sample(self) -> int:
        return LENGTH[self.size]

    @functools.cached_property
    def tokeniser(self) -> Tokenizer:
        """Raises DataError, also where it has more words than the full model."""
        tokeniser = self._tokeniser()
        if self.checkpoint is None and self.size == "full" and (words := size(tokeniser)) > (most := WORDS["full"]):
            raise DataError(f"the tokeniser of {self.source.where!r} has {words} words: expected {most} at most")
        return tokeniser

    def _tokeniser(self) -> Tokenizer:
        if self.checkpoint is not None:
            return pretrained_tokeniser(self.checkpoint).backend_tokenizer
        if self.source.where == EMBEDDED:
            return word_level(vocabulary())
        if self.source.folder is None:
            return pretrained_tokeniser(self.hub_model).backend_tokenizer
        saved = self.source.folder / "gpt2"
        return byte_level_of(saved) if saved.is_dir() else byte_level(self._text("train")[0], WORDS[self.size])

    def build_model(self) -> nn.Module:
        if self.checkpoint is None:
            words = WORDS["full"] if self.size == "full" else size(self.tokeniser)
            config = GPT2Config(vocab_size=words, bos_token_id=None, eos_token_id=None, n_positions=LENGTH[self.size])
            config.update(TINY if self.size == "tiny" else {})
            config._attn_implementation = UNMASKED  # private API
            return linear(GPT2LMHeadModel(config))
        sizes: Any = {"vocab_size": (size(self.tokeniser), None), "n_positions": (LENGTH[self.size], None)}
        model: Any = pretrained_model(GPT2LMHeadModel, self.checkpoint, "gpt2", **sizes)
        model.config._attn_implementation = UNMASKED  # private API
        model.config.pad_token_id = None  # with one, each step would look for it and so wait for the device
        return linear(model)

    def data(self, split: str) -> Split:
        text, where = self._text(split)
        least = 2 * self.recipes[self.size].batch_size if split == "train" else 1
        return sequences(text, where, self.tokeniser, LENGTH[self.size], ROWS[self.size][split], least)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(self._logits(model, batch).flatten(0, 1), batch["input_ids"][:, 1:].flatten())

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """(batch,) FP32: the mean negative log-likelihood of each sequence. One by one: 32 in FP32 are 7 GB of logits."""
        rows = zip(self._logits(model, batch), batch["input_ids"][:, 1:], strict=True)
        return stack([cross_entropy(logits, ids) for logits, ids in rows]).float()

    def score(self, truth: Batch, predicted: Tensor) -> tuple[dict[str, float], Confusion | None]:
        return {"perplexity": predicted.double().mean().exp().item()}, None

    def dummy_prediction(self, train: Split, test: Split) -> Tensor:
        """By how often a token is in the training text, one added to each."""
        counts = train.columns["input_ids"][:, 1:].flatten().bincount(minlength=size(self.tokeniser)) + 1.0
        return -(counts / counts.sum()).log()[test.columns["input_ids"][:, 1:]].mean(1)

    def _logits(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(input_ids=batch["input_ids"][:, :-1], use_cache=False).logits

    def _text(self, split: str) -> tuple[str, str]:
        """The text of the split and, for messages, where it came from. Raises DataError."""
        held_out = self._test_is_held_out()
        kept = "train" if held_out else split
        dataset, where = self.source.load("text", self.hub_id, kept, self._stories, (f"{kept}.parquet", f"{kept}.txt"))
        rows = sum(ROWS[self.size].values()) if held_out else ROWS[self.size][split]
        text = beginning(dataset, where, CHARACTERS * rows * LENGTH[self.size])
        if not held_out:
            return text, where
        cut = len(text) * 9 // 10
        parts = {
            "train": (text[:cut], f"all but the last tenth of {where}"),
            "test": (text[cut:], f"the last tenth of {where}"),
        }
        return parts[split]

    def _stories(self, split: str) -> Dataset:
        words = ROWS[self.size][split] * LENGTH[self.size] + 1
        return Dataset.from_dict({"text": stories(words, 0 if split == "train" else 1)})

    def _test_is_held_out(self) -> bool:
        folder = self.source.folder
        return folder is not None and not any((folder / "text" / f"test.{kind}").is_file() for kind in ("parquet", "txt"))


def linear(model: nn.Module) -> nn.Module:
    """`model` with nn.Linear for transformers' Conv1D, which is one that is stored the other way round: modes that treat linear
    layers know it by that name."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Conv1D):
                inputs, outputs = child.weight.shape
                layer = nn.Linear(inputs, outputs, device="meta")
                layer.weight, layer.bias = nn.Parameter(child.weight.detach().T.contiguous()), child.bias
                setattr(parent, name, layer)
    return model
