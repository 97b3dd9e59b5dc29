"""`gpt2-text`: GPT-2 small trained from scratch to predict the next token of a text; tokens a second and perplexity."""

from typing import Any

from torch import nn

from mpcore.data.vocabulary import size
from mpcore.records import Recipe
from mpcore.workloads.base import workloads
from mpcore.workloads.checkpoint import pretrained_model
from mpcore.workloads.step_memory import StepMemory
from mpcore.workloads.text import Text

WORDS = 50_257
"""Of GPT-2's own vocabulary."""
TINY = {
    "n_embd": 48,
    "n_layer": 2,
    "n_head": 2,
    "initializer_range": 0.1,  # what 0.02 is to a width of 768
}
NO_DROPOUT = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}


@workloads.register
class Gpt2Text(Text):
    """`tiny` is the same architecture, 48 wide and 2 layers deep. The vocabulary of a new model is padded to a multiple of 64;
    a checkpoint keeps its own."""

    name = "gpt2-text"
    version = 2
    recipes = {
        "tiny": Recipe(epochs=1, batch_size=8, learning_rate=5e-3),
        "full": Recipe(epochs=4, batch_size=8, learning_rate=3e-4),
    }
    step_memory = StepMemory(fixed=1.85, per_sample=1.19)
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
    hub_model = "openai-community/gpt2"
    vocabulary = "gpt2"
    rows = {"tiny": {"train": 800, "test": 128}, "full": {"train": 1024, "test": 128}}
    lengths = {"tiny": 32, "full": 1024}
    words = {"tiny": 512, "full": WORDS}

    def build_model(self) -> nn.Module:
        from mpcore.workloads.gpt2 import GPT2, gpt2, trimmed

        if self.checkpoint is None:
            small = TINY | NO_DROPOUT if self.size == "tiny" else {}
            return gpt2(self.embeddings, self.length, **small)
        sizes: Any = {"vocab_size": (size(self.tokeniser), None), "n_positions": (self.length, None)}
        return trimmed(pretrained_model(GPT2, self.checkpoint, "gpt2", **sizes))
