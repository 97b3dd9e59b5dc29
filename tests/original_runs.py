"""Runs of two GPUs as they were saved in layout 3, packed, and what was said of them."""

import gzip
import json
from pathlib import Path

FOLDER = Path(__file__).with_name("runs")
FILES = sorted(FOLDER.glob("*/*.json.gz"))
VERDICTS = FOLDER / "verdicts.json.gz"


def unpacked(path):
    return gzip.decompress(path.read_bytes())


def read(path):
    return json.loads(unpacked(path))
