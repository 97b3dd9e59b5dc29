"""After Lightning's GAN example: two optimisers, manual optimisation. Fabric runs its `training_step` as it is."""

import lightning
import torch
from lightning.fabric import Fabric
from torch import nn
from torch.nn import functional as F

from mpcore import OwnStep, register
from mpcore.adapters import LightningStep


class GAN(lightning.LightningModule):
    def __init__(self, latent=8, width=32):
        super().__init__()
        self.latent = latent
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, width), nn.Tanh())
        self.discriminator = nn.Sequential(nn.Linear(width, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def adversarial_loss(self, y_hat, y):
        return F.binary_cross_entropy_with_logits(y_hat.float(), y)

    def training_step(self, batch, batch_idx=0):
        optimizer_g, optimizer_d = self.optimizers()
        z = torch.randn(len(batch), self.latent, device=batch.device)
        valid, fake = torch.ones(len(batch), 1, device=batch.device), torch.zeros(len(batch), 1, device=batch.device)

        g_loss = self.adversarial_loss(self.discriminator(self.generator(z)), valid)
        self.log("g_loss", g_loss, prog_bar=True)
        self.manual_backward(g_loss)
        optimizer_g.step()
        optimizer_g.zero_grad()

        optimizer_d.zero_grad()
        real_loss = self.adversarial_loss(self.discriminator(batch), valid)
        fake_loss = self.adversarial_loss(self.discriminator(self.generator(z).detach()), fake)
        d_loss = (real_loss + fake_loss) / 2
        self.log("d_loss", d_loss, prog_bar=True)
        self.manual_backward(d_loss)
        optimizer_d.step()
        optimizer_d.zero_grad()

    def configure_optimizers(self):
        opt_g = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        opt_d = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        return [opt_g, opt_d], []


@register
class LightningGAN(OwnStep):
    name = "lightning-gan"
    unit = "rows"
    units_per_batch = 64
    precisions = ("fp32", "bf16-amp")
    must_learn = False  # the one gains what the other loses

    def build(self, precision, device):
        fabric = Fabric(accelerator=device.type, devices=1, precision="bf16-mixed" if precision == "bf16-amp" else "32-true")
        self.gan, logged = GAN(), {}
        self.optimizers, _ = self.gan.configure_optimizers()
        model, *_ = fabric.setup(self.gan, *self.optimizers)
        self.gan.log = lambda name, value, **_: logged.update({name: value.detach()})

        def step(batch):
            with fabric.autocast():
                model.training_step(batch)
            return logged["d_loss"]

        return step

    def batches(self, device):
        return [(torch.randn(64, 4) @ torch.randn(4, 32)).tanh().to(device) for _ in range(20)]

    def optimisers(self):
        return self.optimizers

    def parameters(self):
        return self.gan


@register
class RefusedGAN(LightningStep):
    name = "refused-gan"
    unit = "rows"
    units_per_batch = 64

    def module(self):
        return GAN()

    def loader(self):
        return torch.utils.data.DataLoader(torch.randn(640, 32), batch_size=64)
