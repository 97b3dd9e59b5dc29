"""Pretrained weights of transformers models, from a folder or a hub id."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mpcore.data import DataError


def pretrained_model(
    model_class: Any, checkpoint: str, model_type: str, labels: int | None = None, **sizes: tuple[int, int | None]
) -> nn.Module:
    """`checkpoint` as a `model_class` in FP32; layers that it lacks, such as the classifier, are new and random.

    `labels`: the classes that it tells apart, where it is a classifier. `sizes` are the least and the largest values that
    its configuration may have. Raises DataError for what is not there, cannot be read, is of another type or does not fit.
    """
    from transformers import AutoConfig
    from transformers import logging as transformers_logging

    where = _local(checkpoint)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # new layers are meant to be missing from the checkpoint
    try:
        config = AutoConfig.from_pretrained(where, **({} if labels is None else {"num_labels": labels}))
        if config.model_type != model_type:
            raise DataError(f"checkpoint {checkpoint!r} is a {config.model_type} model: expected a {model_type}")
        for name, (least, largest) in sizes.items():
            if not least <= getattr(config, name) <= (largest or math.inf):
                wanted = f"{least}" if least == largest else f"{least} or more"
                raise DataError(f"checkpoint {checkpoint!r} has {name} {getattr(config, name)}: expected {wanted}")
        with torch.device("cpu"):
            return model_class.from_pretrained(where, config=config, dtype=torch.float32)
    except DataError:
        raise
    except Exception as error:  # readers of weights and configurations have no common base for "cannot be read"
        if "ignore_mismatched_sizes" in str(error):
            configured = "its configuration" + ("" if labels is None else f" with {labels} labels")
            raise DataError(f"checkpoint {checkpoint!r} has layers of other sizes than {configured}") from error
        raise DataError(f"cannot read checkpoint {checkpoint!r}: {_one_line(error)}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)


def pretrained_tokeniser(checkpoint: str) -> Any:
    """Raises DataError, also where a folder has no vocabulary: transformers would make one up, of five words."""
    from transformers import AutoTokenizer

    where = _local(checkpoint)
    try:
        tokeniser = AutoTokenizer.from_pretrained(where)
    except Exception as error:  # as above
        raise DataError(f"cannot read the tokeniser of {checkpoint!r}: {_one_line(error)}") from error
    if len(tokeniser) <= len(tokeniser.all_special_tokens):
        raise DataError(f"checkpoint {checkpoint!r} has no tokeniser: expected tokenizer.json or vocab.txt beside its weights")
    return tokeniser


def _local(checkpoint: str) -> Path | str:
    """The folder that is meant, or the hub id unchanged."""
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or checkpoint.startswith((".", "~")) or checkpoint.count("/") > 1:
        raise DataError(f"no checkpoint folder {checkpoint!r}: expected a folder with config.json and weights, or a hub id")
    return checkpoint


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
