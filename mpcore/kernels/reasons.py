"""Why a step launches a kernel, and what would remove it, by the kernel's family."""

REASONS = {
    "between ranks": "gradients are averaged, and shards of weights gathered; what runs beside other kernels costs nothing",
    "matrix product": "the model's own arithmetic",
    "convolution": "the model's own arithmetic",
    "attention": "the model's own arithmetic, in one kernel each way",
    "recurrence": "the model's own arithmetic",
    "optimiser": "reads and writes masters, gradients and moments once: bound by memory",
    "scaling": "looks through the gradients for what is not finite, and scales them",
    "cast and copy": "autocast casts weights at every step, and gradients back; modes by hand cast gradients to masters and "
    "back. A compiler fuses other casts with their neighbours",
    "batch normalisation": "by cuDNN in FP16 and FP32. In BF16 by torch, slowly: it gives cuDNN no BF16 to normalise "
    "(_select_batch_norm_backend in ATen's Normalization.cpp). A compiler fuses them with their neighbours",
    "layer normalisation": "one kernel forward, two backward; autocast has it in FP32; a compiler fuses it with casts and sums",
    "softmax and loss": "the cross-entropy is summed in FP32; a compiler fuses it with the cast of its logits. Kernels that "
    "fuse it with the last product exist for GPUs alone, and for no FP64, which errors are measured by",
    "embedding and indexing": "a table's gradient is sorted by row, so that sums repeat bit for bit",
    "pooling": "the model's own",
    "layout change": "from NCHW to NHWC and back, around convolutions of a model that is not channels last",
    "reduction": "sums over a batch, mostly the gradients of biases, which torch keeps apart from the products",
    "dropout and random numbers": "the model's own dropout; a compiler fuses it with its neighbours",
    "fill": "zeros for gradients that are added up",
    "elementwise": "activations, residual sums and their gradients, each a pass over memory, unless a compiler fuses them",
}
"""In a sentence or two. A family that is not here is known by no name."""
