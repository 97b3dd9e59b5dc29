"""The network of `unet-membrane` is still MONAI 1.6.1's `BasicUNet`, which earlier results were measured with.

Whoever changes a number here raises the workload's `version`.
"""

import hashlib

import pytest
import torch

from mpcore.workloads.unet import UNet
from mpcore.workloads.unet_membrane import FEATURES, UNetMembrane

WEIGHTS = {
    "tiny": "9ddc30cdc0c7cc85b5948734f9e36f886fa178a610204b7caa13a9ca82cb20f4",
    "full": "b128cf83d9f87c64c00143fa3e10db503974c2a2899e708689b9c039da824ca8",
}
"""SHA-256 of the bytes of all parameters in order, in little-endian FP32, from seed 0."""
PARAMETERS = {"tiny": 48_265, "full": 31_106_177}
LOGITS = [0.368234726958, 0.088233890357, 0.043819709562, 0.513165847323]
"""In FP64, of the first image below: every eighth pixel of the sixth column, from the top down."""

SIZES = pytest.mark.parametrize("size", ["tiny", "full"])


@SIZES
def test_the_weights_from_a_seed_are_known_to_the_bit(size):
    torch.manual_seed(0)
    weights = list(UNetMembrane(size).build_model().parameters())
    assert sum(w.numel() for w in weights) == PARAMETERS[size]
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(weight.detach().numpy().astype("<f4").tobytes())
    assert digest.hexdigest() == WEIGHTS[size]


def test_the_logits_are_known():
    torch.manual_seed(0)
    model = UNetMembrane("tiny").build_model().double()
    images = torch.arange(2 * 32 * 32, dtype=torch.float64).sin().reshape(2, 1, 32, 32)
    assert model(images)[0, 0, ::8, 5].tolist() == pytest.approx(LOGITS, rel=1e-6)


@SIZES
def test_each_pixel_gets_a_logit(size):
    assert UNet(FEATURES[size])(torch.randn(2, 1, 32, 48)).shape == (2, 1, 32, 48)
