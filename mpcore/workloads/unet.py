"""The network of Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015).

Where it differs from the paper's:
- Convolutions are padded, so that nothing is cropped and each pixel gets a prediction.
- Each is followed by batch normalisation.
- The last up-convolution keeps its channels.
- There is no dropout, and weights start as PyTorch draws them.
- One logit for each pixel takes the place of two.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Convolutions(nn.Sequential):
    """Two of 3x3, each normalised and rectified. They have no bias, for the normalisation would subtract it again."""

    def __init__(self, given: int, made: int) -> None:
        layers = OrderedDict[str, nn.Module]()
        for number, channels in enumerate((given, made), start=1):
            layers[f"conv_{number}"] = nn.Conv2d(channels, made, kernel_size=3, padding=1, bias=False)
            layers[f"norm_{number}"] = nn.BatchNorm2d(made)
            layers[f"relu_{number}"] = nn.ReLU(inplace=True)
        super().__init__(layers)


class Down(Convolutions):
    """The same at half the height and width."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(F.max_pool2d(images, kernel_size=2, stride=2))


class Up(nn.Module):
    """An up-convolution of 2x2 from `given` to `upped` channels, then convolutions over its output and `skipped` channels."""

    def __init__(self, given: int, upped: int, skipped: int, made: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(given, upped, kernel_size=2, stride=2)
        self.convolutions = Convolutions(skipped + upped, made)

    def forward(self, deep: Tensor, skipped: Tensor) -> Tensor:
        return self.convolutions(torch.cat((skipped, self.up(deep)), dim=1))


class UNet(nn.Module):
    """Images of one channel in, a logit for each pixel out. Heights and widths are multiples of 16.

    features: channels of the five levels, from the top down, and those that the last convolution is given.
    """

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        a, b, c, d, e, last = features
        self.level_1 = Convolutions(1, a)
        self.down_2, self.down_3, self.down_4, self.down_5 = Down(a, b), Down(b, c), Down(c, d), Down(d, e)
        self.up_4 = Up(e, e // 2, skipped=d, made=d)
        self.up_3 = Up(d, d // 2, skipped=c, made=c)
        self.up_2 = Up(c, c // 2, skipped=b, made=b)
        self.up_1 = Up(b, b, skipped=a, made=last)
        self.logit = nn.Conv2d(last, 1, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        one = self.level_1(images)
        two = self.down_2(one)
        three = self.down_3(two)
        four = self.down_4(three)
        deep = self.down_5(four)
        return self.logit(self.up_1(self.up_2(self.up_3(self.up_4(deep, four), three), two), one))
