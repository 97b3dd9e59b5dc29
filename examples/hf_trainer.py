import tempfile

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from mpcore import register
from mpcore.adapters import TrainerStep


def rows():
    """Is the first token of a sequence the same as its last?"""
    tokens = torch.randint(10, 20, (640, 8))
    labels = torch.randint(2, (640,))
    tokens[:, -1] = torch.where(labels == 1, tokens[:, 0], tokens[:, 0] + 10)
    return [{"input_ids": row, "labels": label} for row, label in zip(tokens, labels, strict=True)]


def model():
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 100}
    return BertForSequenceClassification(BertConfig(num_labels=2, **size))


@register
class FineTuning(TrainerStep):
    name = "fine-tuning"
    unit = "sequences"
    units_per_batch = 2 * 16

    def trainer(self, **arguments):
        arguments = TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=16,
            gradient_accumulation_steps=2,
            learning_rate=1e-3,
            warmup_steps=10,
            **arguments,
        )
        return Trainer(model=model(), args=arguments, train_dataset=rows())
