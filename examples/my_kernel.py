from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from mpcore.precision import Variant
from mpcore.registry import precisions

BY_PREFERENCE = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]


def cudnn_attention(*args, **kwargs):
    with sdpa_kernel(BY_PREFERENCE, set_priority=True):
        return sdpa_attention_forward(*args, **kwargs)


AttentionInterface.register("cudnn", cudnn_attention)


@precisions.register
class CudnnAttention(Variant):
    name = "bf16-amp-cudnn"
    base = "bf16-amp"

    def apply(self, model):
        config = getattr(model, "config", None)  # which not every model has
        if getattr(config, "_attn_implementation", None) == "sdpa_unmasked":
            config._attn_implementation = "cudnn"
