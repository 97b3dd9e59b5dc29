"""What the kernels of a step are, and what changed between two lists of them. Pure functions, without torch.

Only its name is known of a kernel. It tells the family (what is computed) and mostly the width of the format that is read
and written: where a 16-bit format is named it is 16 bits, for such kernels add up in FP32 and name that too. A cast reads
one width and writes the other and so has none. The names of Triton's kernels and of a CPU's operators tell no format.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mpcore.records import Family, Kernel, Profile

Bits = Literal[16, 32] | None

FAMILIES = [  # the first that fits counts, so that what is fused with a layer normalisation counts as one
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

REST = "the rest"
NOISE = 1e-3
"""Share of a step below which a difference is not worth a word."""
MINOR = 0.1
"""Share of the largest change below which another is not worth a word."""


@dataclass(frozen=True)
class Change:
    """One kernel in two profiles, None where it is not listed: there it may take `hidden` seconds at most, in the rest, and
    is new or gone for certain if that is 0."""

    name: str
    before: Kernel | None
    after: Kernel | None
    hidden: float = 0.0

    @property
    def seconds(self) -> float:
        return (self.after.seconds if self.after else 0.0) - (self.before.seconds if self.before else 0.0)


def classify(name: str) -> tuple[str, Bits]:
    """The family of a kernel, and the width of the floating-point format that it reads and writes, None where the name
    does not tell or the two differ."""
    family = next((family for family, pattern in FAMILIES if re.search(pattern, name)), "other")
    half, single = HALF.search(name), SINGLE.search(name)
    silent = NO_WIDTH.search(name) or (family == "cast and copy" and half and single)
    return family, None if silent else 16 if half else 32 if single else None


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


def profile_of(launches: Mapping[str, tuple[float, float]], top: int = 30) -> Profile:
    """The profile of a step that launches these: from name to (count, seconds), of which the `top` longest are listed."""
    kernels = [Kernel(name=name, count=count, seconds=seconds) for name, (count, seconds) in launches.items()]
    kernels.sort(key=lambda k: (-k.seconds, k.name))
    kinds: dict[tuple[str, Bits], list[Kernel]] = {}
    for kernel in kernels:
        kinds.setdefault(classify(kernel.name), []).append(kernel)
    families = [Family(bits=bits, **_sum(name, members).model_dump()) for (name, bits), members in kinds.items()]
    families.sort(key=lambda f: (-f.seconds, f.name, f.bits or 0))
    rest = _sum(REST, kernels[top:]) if kernels[top:] else None
    return Profile(kernels=tuple(kernels[:top]), rest=rest, families=tuple(families))


def difference(before: Profile, after: Profile) -> list[Change]:
    """What changed, largest change first. The rest counts as one kernel, so that all changes add up to that of the step.

    A kernel that only one profile lists may be in the rest of the other. Then its change is overstated, and that of the
    rest understated as much: by no more than the shortest kernel that the other lists.
    """
    old, new = ({k.name: k for k in (*p.kernels, p.rest) if k} for p in (before, after))
    hidden = {n: _hidden(n, before) for n in new.keys() - old.keys()} | {n: _hidden(n, after) for n in old.keys() - new.keys()}
    changes = (Change(name, old.get(name), new.get(name), hidden.get(name, 0.0)) for name in old | new)
    return sorted(changes, key=lambda c: (-abs(c.seconds), c.name))


def explain_difference(before: Profile, after: Profile, most: int = 3) -> str:
    """How long a step takes, how much more or less that is, and the `most` families that explain it, or instead of a family
    the one or two kernels that make up its change."""
    total, floor = after.seconds - before.seconds, NOISE * max(before.seconds, after.seconds)
    families = _families(before, after)
    told = [f for f in families[:most] if abs(f[1].seconds) > max(floor, MINOR * abs(families[0][1].seconds))]
    share = f" ({100 * abs(total) / before.seconds:.1f} %)" if before.seconds else ""
    moved = f"{_ms(abs(total))}{share} {'more' if total > 0 else 'less'}" if abs(total) > floor else "as before"
    sentence = f"a step takes {_ms(after.seconds)} of device time, {moved}"
    kernels = [k for k in difference(before, after) if k.name != REST]
    parts = [_part(change, [k for k in kernels if classify(k.name) == kind]) for kind, change in told]
    left = total - sum(change.seconds for _, change in told)
    if parts and abs(left) > floor:
        parts.append(f"all else {_ms(left, '+')}")
    return sentence + (f": {', '.join(parts)}" if parts else "")


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


def _sum(name: str, kernels: list[Kernel]) -> Kernel:
    return Kernel(name=name, count=sum(k.count for k in kernels), seconds=sum(k.seconds for k in kernels))


def _hidden(name: str, profile: Profile) -> float:
    """The longest that a kernel may take that the profile does not list: no longer than those listed, nor than its family."""
    family = sum(f.seconds for f in profile.families if (f.name, f.bits) == classify(name))
    return min(family, *(k.seconds for k in (profile.rest, *profile.kernels))) if profile.rest else 0.0


def _families(before: Profile, after: Profile) -> list[tuple[tuple[str, Bits], Change]]:
    """All families as if each were one kernel, largest change first. The width is named where there are several."""
    old, new = (
        {(f.name, f.bits): Kernel(name=f.name, count=f.count, seconds=f.seconds) for f in p.families} for p in (before, after)
    )
    names = [name for name, _ in old | new]
    label = {(name, bits): f"{bits}-bit {name}" if bits and names.count(name) > 1 else name for name, bits in old | new}
    changes = [(kind, Change(label[kind], old.get(kind), new.get(kind))) for kind in old | new]
    return sorted(changes, key=lambda c: (-abs(c[1].seconds), c[1].name))


def _part(family: Change, kernels: list[Change]) -> str:
    large = [k for k in kernels if abs(k.seconds) >= abs(family.seconds) / 2 and abs(k.seconds) > 2 * k.hidden][:2]
    for few in (large[:1], large[:2]):
        if few and abs(sum(k.seconds for k in few) - family.seconds) <= MINOR * abs(family.seconds):
            return " and ".join(f"{_moved(k)} ({family.name}, {_launches(k)})" for k in few)
    shares = [k.seconds / family.seconds for k in large]
    how = "mostly" if all(s > 0 for s in shares) and sum(shares) <= 1 else "with"
    which = f", {how} {' and '.join(_moved(k) for k in large)}" if large else ""
    return f"{family.name} {_ms(family.seconds, '+')} ({_launches(family)}{which})"


def _moved(kernel: Change) -> str:
    return f"{short(kernel.name)} {'up to ' if kernel.hidden else ''}{_ms(kernel.seconds, '+')}"


def _launches(change: Change) -> str:
    before, after = (f"{k.count:.6g} launch{'' if k.count == 1 else 'es'}" if k else "" for k in (change.before, change.after))
    if before and after:
        return after if before == after else f"{before.split()[0]} -> {after}"
    if after:
        return f"{after}, not among the longest before" if change.hidden else f"new, {after}"
    return f"{before}, no longer among the longest" if change.hidden else f"gone, {before}"


def _ms(seconds: float, sign: str = "") -> str:
    return f"{1000 * seconds:{sign}.{2 if abs(seconds) >= 1e-4 else 3}f} ms"
