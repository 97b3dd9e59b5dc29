"""The family of a kernel, and the width of its numbers, from its name alone.

The name tells what is computed, and mostly the width of the format that is read and written. Where a 16-bit format is
named it is 16 bits, for such kernels add up in FP32 and name that too. A cast reads one width and writes the other and so
has none. The names of Triton's kernels and of a CPU's operators tell no format.
"""

import re
from typing import Literal

Bits = Literal[16, 32] | None


FAMILIES = [  # the first that fits counts, so that what is fused with a layer normalisation counts as one
    ("between ranks", r"^nccl"),
    ("scaling", r"amp_foreach|amp_update"),
    ("cast and copy", r"[Mm]emcpy|copy_kernel|CopyFunctor|_foreach_copy|CatArray|aten::(copy_|(_to_)?copy|to|clone|cat)$"),
    ("cast and copy", r"triton_poi_fused(_(_to_copy|clone|_unsafe_view|view|transpose|permute|expand|select))+_\d+$"),
    ("optimiser", r"multi_tensor_apply|aten::_(fused|foreach)_|triton_for"),
    ("attention", r"flash|fmha|sdpa|attention|scaled_dot_product|cudnn::fusion::"),
    ("batch normalisation", r"batch_?norm|BatchNorm|cudnn::bn_"),
    ("layer normalisation", r"layer_norm|LayerNorm|GammaBeta|RowwiseMoments"),
    ("softmax and loss", r"[Ss]oft[Mm]ax|_loss|NLL"),
    ("embedding and indexing", r"[Ee]mbedding|compute_grad_weight|sum_and_scatter|krn_partial|partial_segments"),
    ("embedding and indexing", r"gather|scatter|index_|indexSelect|RadixSort|UniqueByKey|DeviceScan|CompactInit"),
    ("pooling", r"pool"),
    ("layout change", r"nchwToNhwc|nhwcToNchw|AddPadding|triton_poi\w*_convolution"),
    ("reduction", r"::reduce_kernel|triton_(red|per)|aten::(sum|mean|amax|amin|max|min|all|any|argmax|norm)$"),
    ("dropout and random numbers", r"dropout|masked_scale|philox::|distribution_|aten::(bernoulli|rand|uniform|normal)"),
    ("recurrence", r"[Rr]nn|RNN|[Ll]stm|LSTM|aten::gru"),
    ("convolution", r"[Cc]onv(?!ert)|fprop|dgrad|wgrad|[Ww]inograd|im2col|cudnn"),
    ("matrix product", r"gemm|gemv|nvjet|cublas|cutlass|triton_tem|linear_|aten::(mm|bmm|addmm|baddbmm|linear|matmul)$"),
    ("fill", r"[Mm]emset|FillFunctor|aten::(zeros?|ones|full|fill)_?(like)?$"),
    ("elementwise", r"elementwise|triton_poi|cpp_fused|aten::(relu|gelu|silu|tanh|sigmoid|threshold|clamp)(_\w*)?$"),
    ("elementwise", r"aten::(add|sub|mul|div|neg|pow|sqrt|exp|log|eq|ne|ge|gt|le|lt|isneginf|where|masked_fill)(_\w*)?$"),
]


NO_WIDTH = re.compile(r"^(triton_|aten::)|cpp_fused|LoadWithCast|gpu_kernel_impl<")
"""The last two cast what they read, and name only what they compute in."""


HALF = re.compile(r"[Hh]alf|[Ff]loat16|f16|fp16|h\d*gemm|nvjet(_sm\d+)?_[ht]|cudnn::fusion::")
"""nvjet names formats by a letter (h: FP16, t: BF16, s: FP32); cuDNN has attention in 16 bits only."""


SINGLE = re.compile(r"float(?!16|8|_e)|f32|sgemm|s1688|nvjet(_sm\d+)?_s")


def classify(name: str) -> tuple[str, Bits]:
    """The family of a kernel, and the width of the floating-point format that it reads and writes. The width is None where the
    name does not tell or the two differ."""
    family = next((family for family, pattern in FAMILIES if re.search(pattern, name)), "other")
    half, single = HALF.search(name), SINGLE.search(name)
    silent = NO_WIDTH.search(name) or (family == "cast and copy" and half and single)
    return family, None if silent else 16 if half else 32 if single else None
