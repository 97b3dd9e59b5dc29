"""After transformers' run_glue.py: dynamic padding, a Trainer of one's own whose loss has class weights, warm-up and decay."""

import tempfile

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DistilBertConfig, DistilBertForSequenceClassification, Trainer, TrainingArguments

from mpcore import register
from mpcore.adapters import TrainerStep


class WeightedTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        weight = torch.tensor([1.0, 2.0], device=labels.device)
        loss = torch.nn.functional.cross_entropy(outputs.logits.float(), labels, weight=weight)
        return (loss, outputs) if return_outputs else loss


def collate(rows):
    tokens = pad_sequence([row["input_ids"] for row in rows], batch_first=True)
    return {"input_ids": tokens, "attention_mask": tokens != 0, "labels": torch.tensor([row["label"] for row in rows])}


def sentences(count):
    found = []
    for _ in range(count):
        label, length = int(torch.randint(2, ())), int(torch.randint(6, 17, ()))
        found.append({"input_ids": torch.randint(10 + 40 * label, 60 + 40 * label, (length,)), "label": label})
    return found


@register
class Glue(TrainerStep):
    name = "glue-like"
    unit = "sentences"
    units_per_batch = 32
    precisions = ("fp32", "bf16-amp")
    curve_steps = 60
    tolerance = 10.0

    def trainer(self, **arguments):
        config = DistilBertConfig(dim=32, hidden_dim=64, n_layers=2, n_heads=2, vocab_size=100, num_labels=2)
        training_args = TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=32,
            learning_rate=2e-3,
            num_train_epochs=3,
            warmup_steps=10,
            lr_scheduler_type="cosine",
            weight_decay=0.01,
            remove_unused_columns=False,
            **arguments,
        )
        model = DistilBertForSequenceClassification(config)
        return WeightedTrainer(model=model, args=training_args, train_dataset=sentences(640), data_collator=collate)
