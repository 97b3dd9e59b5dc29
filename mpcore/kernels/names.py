"""Names of kernels, short enough to read."""

import functools
import re

OPERATION = re.compile(  # in the arguments of a template
    r"\b(?!__|BinaryFunctor|\w*Op\w*Functor)(\w*Functor\w*|\w+_functor|launch_\w+|(?<=std::)(?!array)\w+|Sqrt|Reciprocal"
    r"|batch_norm_\w+|\w+?(?=_kernel(?:_cuda|_impl)?\b|CUDAKernelImpl|_cuda_(?:out)?\b|Ops\b))"
)


FORMAT = re.compile(r"\b_*(?:nv_)?([Hh]alf|[Bb][Ff]loat16|t?float(?:32)?)(?:2|_t)?\b")


CLUTTER = re.compile(
    r"_implicit_gemm|_nhwckrsc|_nchwkcrs|_stage\d+|_warp(group)?size\dx\dx\d|_g1(?=_)|_tensor\d+x\d+x\d+|_ffma|_align[a-c]?\d+"
    r"|(_execute)?(_segment_k_off)?(_kernel)*__5x_\w+|_execute(?=_)|_optimized|_generated_fort_native|_knob_\d+|_cga\w+"
    r"|(_cuda)?_kernel\b|\BKernel\b|_+(unsafe_view|view|expand|transpose|scalar_tensor)(?=_)"
)


@functools.cache  # a graph has thousands of nodes, and few kernels
def short(name: str) -> str:
    """A name to read, of 60 characters at most: what is launched, what it computes, in which format, in which tiles."""
    text = name.removeprefix("void ").replace("(anonymous namespace)::", "")
    mangled = re.search(r"^_Z.*GemmShapeILi(\d+)ELi(\d+)ELi(\d+)E.*(Conv\dd[A-Z][a-z]+).*?([a-z]+\d*)_t", text)
    if mangled:
        text = "cutlass {3}<{4}> {0}x{1}x{2}".format(*mangled.groups())
    elif "<" in text or "(" in text:
        text = _untemplated(text)
    text = CLUTTER.sub("", re.sub(r"_([tb]?f\d\d){2}_([tb]?f\d\d)f32_f32", r"_\2", text)).replace("_tilesize", "_")
    return text if len(text) <= 60 else f"{text[:42]}...{text[-15:]}"


def _untemplated(text: str) -> str:
    """The name of a template or function, with what its arguments tell: at most two operations and two formats."""
    head, inside = re.split(r"[<(]", f"{text}<", maxsplit=1)
    inside = inside.split(">(")[0].replace("gpu_kernel_impl<", "casting_kernel<") if text.startswith(f"{head}<") else ""
    name = head.strip().split("::")[-1]
    if name.startswith("Kernel") and inside:  # CUTLASS has one template for all, and the name is its argument
        name, inside = inside.split("<")[0].split("::")[-1], inside if "<" in inside else ""
    library = next((f"{library} " for library in ("cudnn", "cublasLt") if head.startswith(library)), "")
    operations = list(dict.fromkeys(OPERATION.findall(inside)))[:2]
    formats = list(dict.fromkeys(FORMAT.findall(inside)))[:2] or re.findall(r"\b(double|long|bool|int)\b", inside)[:1]
    return library + " ".join([name, *operations]) + (f"<{', '.join(formats)}>" if formats else "")
