"""Pretrained weights of transformers models, from a folder or a hub id."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer
from transformers import logging as transformers_logging

from mpcore.data import DataError

TOKENISER_FILES = ("tokenizer.json", "vocab.txt", "tokenizer.model", "vocab.json")


def pretrained_model(model_class: Any, checkpoint: str, model_type: str, **expected: int) -> nn.Module:
    """`checkpoint` as a `model_class` in FP32, with `expected` values in its configuration; layers that it lacks, such as
    the classifier, are new and random. Raises DataError for what is not there, cannot be read or is of another type."""
    where = _local(checkpoint)
    verbosity = transformers_logging.get_verbosity()
    try:
        config = AutoConfig.from_pretrained(where, num_labels=expected.pop("num_labels"))
        if config.model_type != model_type:
            raise DataError(f"checkpoint {checkpoint!r} is a {config.model_type} model: expected a {model_type}")
        for name, value in expected.items():
            if getattr(config, name) != value:
                raise DataError(f"checkpoint {checkpoint!r} has {name} {getattr(config, name)}: expected {value}")
        transformers_logging.set_verbosity_error()  # new layers are meant to be missing from the checkpoint
        with torch.device("cpu"):
            return model_class.from_pretrained(where, config=config, dtype=torch.float32)
    except DataError:
        raise
    except Exception as error:  # readers of weights and configurations have no common base for "cannot be read"
        raise DataError(f"cannot read checkpoint {checkpoint!r}: {_one_line(error)}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)


def pretrained_tokeniser(checkpoint: str) -> Any:
    """Raises DataError, also where a folder has no vocabulary: transformers would make one up, of five words."""
    where = _local(checkpoint)
    if isinstance(where, Path) and not any((where / name).is_file() for name in TOKENISER_FILES):
        raise DataError(
            f"checkpoint {checkpoint!r} has no tokeniser: expected one of {', '.join(TOKENISER_FILES)} beside its weights"
        )
    try:
        return AutoTokenizer.from_pretrained(where)
    except Exception as error:  # as above
        raise DataError(f"cannot read the tokeniser of {checkpoint!r}: {_one_line(error)}") from error


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
