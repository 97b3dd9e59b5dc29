import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mpcore import register
from mpcore.adapters import LightningStep


class Autoencoder(lightning.LightningModule):
    """As it stands in a project of Lightning's."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 64))

    def training_step(self, batch, batch_idx):
        (x,) = batch
        loss = nn.functional.mse_loss(self.decoder(self.encoder(x)), x)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@register
class LightningAutoencoder(LightningStep):
    name = "autoencoder"
    unit = "rows"
    units_per_batch = 128
    gradient_clip_val = 1.0

    def module(self):
        return Autoencoder()

    def loader(self):
        draws = torch.Generator().manual_seed(0)  # the same rows in each epoch
        rows = torch.randn(4096, 4, generator=draws) @ torch.randn(4, 64, generator=draws)
        return DataLoader(TensorDataset(rows), batch_size=128, shuffle=True)
