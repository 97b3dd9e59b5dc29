import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from mpcore.data import Split
from mpcore.records import Recipe
from mpcore.registry import workloads
from mpcore.workloads import UNMASKED, Workload, cross_entropy


@workloads.register
class FirstToken(Workload):
    """Is the first token of a sequence the same as its last?"""

    name = "first-token"
    unit = "sequences"
    classes = 2
    recipes = {
        "tiny": Recipe(epochs=8, batch_size=32, learning_rate=3e-3),
        "full": Recipe(epochs=1, batch_size=64, learning_rate=5e-5),
    }
    tolerances = {"tiny": 10.0, "full": 2.0}

    def build_model(self):
        tiny = {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2, "vocab_size": 100}
        config = DistilBertConfig(num_labels=2, **(tiny if self.size == "tiny" else {}))
        config._attn_implementation = UNMASKED
        return DistilBertForSequenceClassification(config)

    def data(self, split):
        rows, length = (640, 8) if self.size == "tiny" else (6400, 128)
        generator = torch.Generator().manual_seed({"train": 0, "test": 1}[split])
        tokens = torch.randint(10, 20, (rows, length), generator=generator)
        label = torch.randint(2, (rows,), generator=generator)
        tokens[:, -1] = torch.where(label == 1, tokens[:, 0], tokens[:, 0] + 10)
        return Split({"input_ids": tokens, "label": label})

    def loss(self, model, batch):
        return cross_entropy(self.logits(model, batch), batch["label"])

    def predict(self, model, batch):
        return self.logits(model, batch).argmax(-1)

    def logits(self, model, batch):
        return model(input_ids=batch["input_ids"]).logits
