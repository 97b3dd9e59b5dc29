"""The lists in h200.json are real: one training step on one NVIDIA H200, torch 2.11, CUDA 13.0."""

import json
from pathlib import Path

import pytest

from mpcore.kernels.classify import classify
from mpcore.kernels.difference import Change, difference, explain_difference
from mpcore.kernels.names import short
from mpcore.kernels.profile import LONGEST, profile_of
from mpcore.records import REST

RECORDED = json.loads((Path(__file__).parent / "h200.json").read_text())
RECORDED.pop("about")
CASES = sorted(RECORDED)

ADD = "void at::native::vectorized_elementwise_kernel<8, at::native::CUDAFunctor_add<c10::Half>, std::array<char*, 3ul> >(int)"
COPY = (
    "void at::native::elementwise_kernel<128, 4, at::native::gpu_kernel_impl_nocast<at::native::direct_copy_kernel_cuda("
    "at::TensorIteratorBase&)::{lambda()#3}::operator()() const::{lambda()#7}::operator()() const::{lambda(float)#1}>(int)"
)
CAST = (
    "void at::native::vectorized_elementwise_kernel<8, at::native::bfloat16_copy_kernel_cuda(at::TensorIteratorBase&)"
    "::{lambda(float)#1}, std::array<char*, 2ul> >(int)"
)
LOADING_CAST = (
    "void at::native::unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)::{lambda()#3}"
    "::operator()() const::{lambda(float)#1}, std::array<char*, 2ul>, 4, at::native::memory::LoadWithCast<1> >(int)"
)
MULTI_TENSOR = "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<at::native::(anonymous namespace)::"
MANGLED = (
    "_ZN17cutlass__5x_cudnn6KernelINS_4conv6kernel23ImplicitGemmConvolutionINS1_11threadblock22ImplicitGemmMultistageINS_"
    "4gemm9GemmShapeILi64ELi128ELi32EEENS4_52Conv2dWgradOutputGradientTileAccessIteratorOptimizedINS_11MatrixShapeILi64E"
    "Li32EEENS_10bfloat16_tENS_9transformE"
)

NAMES = [
    ("nvjet_sm90_hsh_128x128_64x6_2x1_v_bz_splitK_NTT", "matrix product", 16),
    ("nvjet_sm90_tst_64x8_64x16_2x4_h_bz_NNT", "matrix product", 16),
    ("nvjet_sm90_sss_64x8_64x16_2x4_h_bz_NNT", "matrix product", 32),
    ("sm80_xmma_gemm_f32f32_f32f32_f32_nn_n_tilesize128x64x8_execute_kernel__5x_cublas", "matrix product", 32),
    ("sm90_xmma_gemm_f32f32_tf32f32_f32_nn_n_tilesize128x128x32_execute_kernel__5x_cublas", "matrix product", 32),
    ("void cutlass::Kernel2<cutlass_80_tensorop_s16816gemm_bf16_128x128_64x3_nt_align8>(Params)", "matrix product", 16),
    ("void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm_128x128_16x5_nt_align4>(Params)", "matrix product", 32),
    ("void cutlass::Kernel2<cutlass_80_simt_sgemm_128x256_8x4_nt_align1>(Params)", "matrix product", 32),
    ("void cutlass::device_kernel<gemm<cutlass::float_e4m3_t> >(Params)", "matrix product", None),
    ("ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_64x3_nn", "matrix product", 16),
    ("volta_h884gemm_64x64_ldg8_nn", "matrix product", 16),
    # what is left of a product that was split is summed in FP32, for a result in FP16
    ("void cublasLt::splitKreduce_kernel<32, 16, int, float, __half, float, __half, false>(float)", "matrix product", 16),
    ("sm90_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize64x64x64__5x_cudnn", "convolution", 16),
    ("sm90_xmma_wgrad_indexed_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tile__5x_cudnn", "convolution", 16),
    ("sm80_xmma_dgrad_implicit_gemm_f32f32_f32f32_f32_nchwkcrs_nchw_tilesize32__5x_cudnn", "convolution", 32),
    ("void implicit_convolve_sgemm<__nv_bfloat16, __nv_bfloat16, 1024, 5>(int)", "convolution", 16),
    (MANGLED, "convolution", 16),
    (MANGLED.replace("10bfloat16_t", "10tfloat32_t"), "convolution", 32),
    ("void cudnn::engines_precompiled::nchwToNhwcKernel<__half, __half, float, false, true>(int)", "layout change", 16),
    ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, cutlass::half_t> >(Flash)", "attention", 16),
    ("fmha_cutlassF_f32_aligned_64x64_rf_sm80(AttentionKernel<float>::Params)", "attention", 32),
    ("cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16_knob_26_64x64x64", "attention", 16),
    # its one float is the scale of the logits
    ("void cudnn::fusion::compute_dot_do_o_specialized<true, 64>(void const*, void*, float)", "attention", 16),
    ("void cudnn::bn_fw_tr_1C11_singleread<__half, 512, true, 1, 2, 0>(bn<__half>)", "batch normalisation", 16),
    ("void cudnn::bn_bw_1C11_singleread<float, 512, true, 1, 2, 0>(bn<float>)", "batch normalisation", 32),
    ("void cudnn::batchnorm_bwtr_nhwc_semiPersist<__half, float, __half, 512, 16>(int)", "batch normalisation", 16),
    ("void at::native::vectorized_layer_norm_kernel<c10::Half, float, false>(int)", "layer normalisation", 16),
    ("void GammaBetaBackwardCUDAKernelTemplate<float, float, 32u, 32u, 256u, false>(long)", "layer normalisation", 32),
    ("void softmax_warp_forward<float, float, float, 9, false, false>(float*)", "softmax and loss", 32),
    ("void cunn_SoftMaxForward<8, c10::Half, float, float>(float*)", "softmax and loss", 16),
    (MULTI_TENSOR + "FusedOptimizerTensorListMetadata<4>, FusedAdamMathFunctor<float, 4> >(int)", "optimiser", 32),
    (
        MULTI_TENSOR + "TensorListMetadata<2>, CopyFunctor<c10::Half, float, 2>, Copy<c10::Half, float> >(int)",
        "cast and copy",
        None,
    ),
    (MULTI_TENSOR + "UnaryOpFunctor<float>, _amp_foreach_non_finite_check_and_unscale_cuda_(int)", "scaling", 32),
    (ADD, "elementwise", 16),
    (ADD.replace("c10::Half", "c10::BFloat16"), "elementwise", 16),
    (ADD.replace("c10::Half", "float"), "elementwise", 32),
    (ADD.replace("c10::Half", "long"), "elementwise", None),
    (COPY.replace("_nocast", ""), "cast and copy", None),
    (COPY, "cast and copy", 32),
    (COPY.replace("float", "c10::Half"), "cast and copy", 16),
    (CAST, "cast and copy", None),
    (LOADING_CAST, "cast and copy", None),
    ("void copy_kernel<__nv_bfloat16>(__nv_bfloat16*)", "cast and copy", 16),
    ("Memcpy DtoD (Device -> Device)", "cast and copy", None),
    ("Memset (Device)", "fill", None),
    ("void at::native::reduce_kernel<128, 4, ReduceOp<c10::Half, sum_functor<c10::Half, float> > >(int)", "reduction", 16),
    ("void at::native::max_pool_forward_nhwc<c10::BFloat16, int>(int)", "pooling", 16),
    ("void at::native::fused_dropout_kernel_vec<float, float, unsigned int, 1>(int)", "dropout and random numbers", 32),
    ("void at::native::vectorized_gather_kernel<16, long>(char*)", "embedding and indexing", None),
    ("triton_per_fused_add_native_dropout_native_layer_norm_view_8", "layer normalisation", None),
    ("triton_poi_fused__to_copy_clone_transpose_view_9", "cast and copy", None),
    ("triton_poi_fused_gelu_view_13", "elementwise", None),
    ("triton_red_fused_gelu_gelu_backward_sum_view_11", "reduction", None),
    ("triton_poi_fused_convolution_0", "layout change", None),
    ("aten::addmm", "matrix product", None),
    ("aten::mkldnn_convolution", "convolution", None),
    ("aten::native_layer_norm_backward", "layer normalisation", None),
    ("aten::_fused_adamw_", "optimiser", None),
    ("aten::copy_", "cast and copy", None),
    ("aten::gelu_backward", "elementwise", None),
    ("aten::expand", "other", None),  # not aten::exp
    ("kernel_of_my_own", "other", None),
]


def recorded(case):
    return {name: (count, 1e-6 * microseconds) for name, (count, microseconds) in RECORDED[case].items()}


def milliseconds(**launches):
    """A profile of made-up kernels that all count as matrix products: name to (count, milliseconds)."""
    return profile_of({f"{name}_gemm": (count, 1e-3 * ms) for name, (count, ms) in launches.items()})


def seconds(profile, *, family=None, bits=...):
    return sum(f.seconds for f in profile.families if family in (None, f.name) and bits in (..., f.bits))


@pytest.mark.parametrize(("name", "family", "bits"), NAMES)
def test_a_name_tells_family_and_width(name, family, bits):
    assert classify(name) == (family, bits)


@pytest.mark.parametrize("listed", CASES)
def test_hardly_any_time_is_without_a_family(listed):
    profile = profile_of(recorded(listed))
    assert seconds(profile, family="other") < 0.02 * profile.seconds


@pytest.mark.parametrize("listed", [c for c in CASES if c.endswith(("-fp32", "-tf32"))])
def test_a_step_in_fp32_has_no_time_in_16_bits(listed):
    profile = profile_of(recorded(listed))
    assert seconds(profile, bits=16) == 0
    assert seconds(profile, bits=32) > 0.95 * profile.seconds


@pytest.mark.parametrize("listed", [c for c in CASES if c.endswith("-true")])
def test_a_step_in_pure_16_bits_has_hardly_any_time_in_32_bits(listed):
    profile = profile_of(recorded(listed))
    assert seconds(profile, bits=32) < 0.02 * profile.seconds


@pytest.mark.parametrize("listed", [c for c in CASES if c.endswith(("-amp", "-true")) and c.startswith("res")])
def test_no_16_bit_mode_convolves_in_32_bits(listed):
    profile = profile_of(recorded(listed))
    assert seconds(profile, family="convolution", bits=32) == 0
    assert seconds(profile, family="convolution", bits=16) > 0.15 * profile.seconds


@pytest.mark.parametrize("longest", [0, 1, LONGEST, 1000])
@pytest.mark.parametrize("listed", CASES)
def test_a_profile_loses_no_time_and_no_launch(listed, longest):
    launches = recorded(listed)
    count, total = (sum(column) for column in zip(*launches.values(), strict=True))
    profile = profile_of(launches, longest)
    kernels_and_rest = [*profile.kernels, *([profile.rest] if profile.rest else [])]
    for kernels in (kernels_and_rest, profile.families):
        assert sum(k.seconds for k in kernels) == pytest.approx(total)
        assert sum(k.count for k in kernels) == pytest.approx(count)
    assert profile.seconds == pytest.approx(total)


def test_the_longest_are_listed_and_the_others_are_the_rest():
    profile = profile_of({f"kernel_{i}": (2, i) for i in range(1, 6)}, longest=3)
    assert [k.name for k in profile.kernels] == ["kernel_5", "kernel_4", "kernel_3"]
    assert (profile.rest.name, profile.rest.count, profile.rest.seconds) == (REST, 4, 3)
    assert profile_of({"kernel": (1, 1)}, longest=1).rest is None


def test_launches_of_all_kernels_are_kept_and_times_of_ten():
    profile = profile_of({f"kernel_{i}": (i, i) for i in range(1, 31)})
    assert len(profile.kernels) == LONGEST == 10
    assert profile.counts == {f"kernel_{i}": i for i in range(1, 31)}


def test_families_are_listed_longest_first_and_apart_by_width():
    profile = profile_of({ADD: (1, 1), ADD.replace("c10::Half", "float"): (2, 3), "a_gemm": (3, 1), "b_gemm": (4, 1)})
    assert [(f.name, f.bits, f.count, f.seconds) for f in profile.families] == [
        ("elementwise", 32, 2, 3),
        ("matrix product", None, 7, 2),
        ("elementwise", 16, 1, 1),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (ADD, "vectorized_elementwise CUDAFunctor_add<Half>"),
        (COPY, "elementwise direct_copy<float>"),
        (COPY.replace("_nocast", ""), "elementwise casting direct_copy<float>"),
        (CAST, "vectorized_elementwise bfloat16_copy<float>"),
        (MANGLED, "cutlass Conv2dWgrad<bfloat16> 64x128x32"),
        ("nvjet_sm90_hsh_128x128_64x6_2x1_v_bz_splitK_NTT", "nvjet_sm90_hsh_128x128_64x6_2x1_v_bz_splitK_NTT"),
        ("void cudnn::bn_bw_1C11_singleread<__half, 512, true, 1, 2, 0>(x<__half>)", "cudnn bn_bw_1C11_singleread<half>"),
        ("void cutlass::Kernel2<cutlass_80_simt_sgemm_64x64_8x5_nt_align1>(x::Params)", "cutlass_80_simt_sgemm_64x64_8x5_nt"),
        (
            "sm80_xmma_gemm_f32f32_tf32f32_f32_tn_n_tilesize32x32x64_stage3_warpsize2x2x1_tensor16x8x8_execute_kernel__5x_cublas",
            "sm80_xmma_gemm_tf32_tn_n_32x32x64",
        ),
        (MULTI_TENSOR + "TensorListMetadata<1>, UnaryOpFunctor<float>, Sqrt<float> >(x)", "multi_tensor_apply Sqrt<float>"),
        ("triton_poi_fused__to_copy__unsafe_view_clone_mul_transpose_view_5", "triton_poi_fused__to_copy_clone_mul_5"),
        ("Memcpy DtoD (Device -> Device)", "Memcpy DtoD"),
        ("aten::addmm", "aten::addmm"),
    ],
)
def test_a_short_name_keeps_what_tells_kernels_apart(name, expected):
    assert short(name) == expected


@pytest.mark.parametrize("listed", CASES)
def test_short_names_are_short_and_mostly_distinct(listed):
    names = {name: short(name) for name in RECORDED[listed]}
    assert all(0 < len(s) <= 60 for s in names.values())
    assert not any(noise in s for s in names.values() for noise in ("void ", "::", "lambda", "(", "c10"))
    # softmax for rows of other lengths, for example, differs in nothing that is kept
    assert len(set(names.values())) > 0.9 * len(names)


@pytest.mark.parametrize("name", ["void Kernel(int)", "Kernel", "kernel", "f(int)", "void f<1>(int)", "_Zodd"])
def test_a_name_of_another_make_stays_a_name(name):
    assert short(name) in ("Kernel", "kernel", "f", "_Zodd")


def test_a_difference_is_by_kernel_largest_first():
    before, after = milliseconds(a=(2, 5), b=(1, 1), c=(1, 2)), milliseconds(a=(2, 5.5), b=(3, 4), d=(1, 1))
    changes = difference(before, after)
    assert [c.name for c in changes] == ["b_gemm", "c_gemm", "d_gemm", "a_gemm"]
    assert [c.seconds for c in changes] == pytest.approx([3e-3, -2e-3, 1e-3, 0.5e-3])
    assert (changes[1].after, changes[2].before) == (None, None)
    assert all(c.hidden == 0 for c in changes)


@pytest.mark.parametrize(("one", "other"), [("res18-fp32", "res18-fp16-amp"), ("res50-fp16-amp", "res50-bf16-amp")])
def test_a_difference_turns_its_sign_with_its_sides_and_adds_up(one, other):
    one, other = profile_of(recorded(one)), profile_of(recorded(other))
    there, back = difference(one, other), difference(other, one)
    assert [Change(c.name, c.after, c.before, c.hidden, c.unlisted) for c in back] == there
    assert [abs(c.seconds) for c in there] == sorted((abs(c.seconds) for c in there), reverse=True)
    assert sum(c.seconds for c in there) == pytest.approx(other.seconds - one.seconds)


def test_a_kernel_that_is_not_listed_may_be_in_the_rest():
    launches = {"a_gemm": (1, 5e-3), "b_gemm": (1, 3e-3), "c_gemm": (1, 2e-3), "d_gemm": (1, 0.5e-3)}
    before, after = profile_of(launches, longest=2), profile_of(launches | {"c_gemm": (1, 9e-3)}, longest=2)
    changes = {c.name: c for c in difference(before, after)}
    assert changes["c_gemm"].before is None
    assert changes["c_gemm"].hidden == pytest.approx(2.5e-3)  # the rest before, which is shorter than b
    assert changes["b_gemm"].hidden == pytest.approx(3.5e-3)  # the rest after, which is shorter than a
    # the truth is 7 ms more: too much is said of c, and as much too little of b and the rest
    assert changes["c_gemm"].seconds - changes["c_gemm"].hidden <= 7e-3 <= changes["c_gemm"].seconds
    assert sum(c.seconds for c in changes.values()) == pytest.approx(7e-3)
    assert explain_difference(before, after) == (
        "a step takes 17.50 ms of device time, 7.00 ms (66.7 %) more: "
        "matrix product +7.00 ms (4 launches, with c_gemm up to +9.00 ms)"
    )


@pytest.fixture
def gelu():
    """A profile in which it is in the rest, and one in which it is listed and takes longer."""
    others = {"a_gemm": (1, 5e-3), "b_gemm": (1, 1e-4)}
    return (profile_of(others | {"aten::gelu": of}, longest=2) for of in ((1, 9e-5), (2, 2e-3)))


def test_a_kernel_that_may_have_been_in_the_rest_is_not_called_new(gelu):
    """Older runs have no counts of what is in the rest."""
    before, after = (profile.model_copy(update={"counts": None}) for profile in gelu)
    expected = "aten::gelu up to +2.00 ms (elementwise, 2 launches, not among the longest before)"
    assert expected in explain_difference(before, after)
    assert "aten::gelu up to -2.00 ms (elementwise, 2 launches, no longer among the longest)" in explain_difference(
        after, before
    )


def test_the_launches_of_a_kernel_in_the_rest_are_counted(gelu):
    before, after = gelu
    assert "aten::gelu up to +2.00 ms (elementwise, 1 -> 2 launches)" in explain_difference(before, after)
    assert "aten::gelu up to -2.00 ms (elementwise, 2 -> 1 launch)" in explain_difference(after, before)


def test_a_kernel_that_may_have_been_as_long_in_the_rest_is_not_blamed():
    before = profile_of({"a_gemm": (1, 5e-3), "b_gemm": (1, 1.1e-3), "c_gemm": (1, 1e-3)}, longest=2)
    after = profile_of({"a_gemm": (1, 5e-3), "b_gemm": (1, 1.1e-3), "c_gemm": (1, 1.2e-3)}, longest=2)
    assert difference(before, after)[0].name == "c_gemm"
    assert explain_difference(before, after).endswith(": matrix product +0.20 ms (3 launches)")


def test_a_kernel_of_a_family_that_was_not_there_is_new():
    launches = {"a_gemm": (1, 5e-3), "b_gemm": (1, 1e-3)}
    before, after = profile_of(launches, longest=1), profile_of(launches | {"aten::gelu": (1, 2e-3)}, longest=2)
    assert explain_difference(before, after).endswith(": aten::gelu +2.00 ms (elementwise, new, 1 launch)")


def test_two_kernels_that_make_up_more_than_their_family_are_not_most_of_it():
    before, after = milliseconds(a=(1, 9), b=(1, 9), c=(1, 9)), milliseconds(a=(1, 10), b=(1, 10), c=(1, 8.5))
    assert explain_difference(before, after).endswith(
        "matrix product +1.50 ms (3 launches, with a_gemm +1.00 ms and b_gemm +1.00 ms)"
    )


def test_a_kernel_that_goes_the_other_way_is_not_most_of_its_family():
    before = milliseconds(a=(1, 9), b=(1, 3), c=(1, 1), d=(1, 1))
    after = milliseconds(a=(1, 9.8), b=(1, 2.4), c=(1, 1.4), d=(1, 1.4))
    assert explain_difference(before, after).endswith("+1.00 ms (4 launches, with a_gemm +0.80 ms and b_gemm -0.60 ms)")


def test_the_rest_is_not_named_as_a_kernel():
    before = profile_of({"mine": (1, 5e-3), "yours": (1, 1e-3)}, longest=1)
    after = profile_of({"mine": (1, 5e-3), "yours": (2, 2e-3)}, longest=1)
    assert explain_difference(before, after).endswith("1.00 ms (16.7 %) more: other +1.00 ms (2 -> 3 launches)")


def test_kernels_that_cancel_out_do_not_hide_the_one_that_explains_it():
    before, after = milliseconds(a=(1, 9), b=(1, 1), c=(1, 3)), milliseconds(a=(1, 10), b=(1, 1.6), c=(1, 2.4))
    assert explain_difference(before, after).endswith(": a_gemm +1.00 ms (matrix product, 1 launch)")


def test_a_new_kernel_is_named():
    launches = recorded("res50-fp16-amp")
    added = launches | {"nvjet_sm90_hsh_8x8_NNT": (12, 2e-3)}
    sentence = explain_difference(profile_of(launches), profile_of(added))
    assert sentence == (
        "a step takes 43.44 ms of device time, 2.00 ms (4.8 %) more: "
        "nvjet_sm90_hsh_8x8_NNT +2.00 ms (matrix product, new, 12 launches)"
    )


def test_a_new_kernel_is_called_new_and_a_lost_one_gone_if_all_are_listed():
    before, after = milliseconds(a=(4, 8), b=(1, 2)), milliseconds(a=(4, 8), c=(3, 5))
    assert explain_difference(before, after) == (
        "a step takes 13.00 ms of device time, 3.00 ms (30.0 %) more: "
        "c_gemm +5.00 ms (matrix product, new, 3 launches) and b_gemm -2.00 ms (matrix product, gone, 1 launch)"
    )


def test_launches_that_doubled_are_counted():
    before, after = milliseconds(a=(4, 8), b=(10, 2)), milliseconds(a=(4, 8), b=(20, 4))
    assert explain_difference(before, after) == (
        "a step takes 12.00 ms of device time, 2.00 ms (20.0 %) more: b_gemm +2.00 ms (matrix product, 10 -> 20 launches)"
    )
    assert "2.00 ms (16.7 %) less: b_gemm -2.00 ms (matrix product, 20 -> 10 launches)" in explain_difference(after, before)


def test_a_family_that_moves_as_a_whole_is_told_as_one():
    copies = {f"triton_poi_fused__to_copy_{i}": (2, 1e-4) for i in range(20)}
    before = profile_of({"a_gemm": (1, 0.04), "Memcpy DtoD (Device -> Device)": (4, 1e-4)} | copies)
    doubled = {name: (2 * count, 2 * s) for name, (count, s) in copies.items()}
    after = profile_of({"a_gemm": (1, 0.04), "Memcpy DtoD (Device -> Device)": (4, 1e-4)} | doubled)
    assert explain_difference(before, after) == (
        "a step takes 44.10 ms of device time, 2.00 ms (4.8 %) more: cast and copy +2.00 ms (44 -> 84 launches)"
    )


def test_a_family_with_one_leader_names_it():
    before = profile_of({"a_gemm": (1, 0.04), "Memcpy DtoD": (4, 1e-4), **{f"aten::{n}": (1, 1e-4) for n in ("to", "cat")}})
    after = profile_of({"a_gemm": (1, 0.04), "Memcpy DtoD": (8, 7e-4), **{f"aten::{n}": (2, 3e-4) for n in ("to", "cat")}})
    assert "cast and copy +1.00 ms (6 -> 12 launches, mostly Memcpy DtoD +0.60 ms)" in explain_difference(before, after)


def test_a_family_that_changes_its_width_is_told_by_width():
    half, single = ADD, ADD.replace("c10::Half", "float")
    before, after = profile_of({half: (8, 4e-3), single: (1, 1e-3)}), profile_of({single: (9, 9e-3)})
    assert explain_difference(before, after) == (
        "a step takes 9.00 ms of device time, 4.00 ms (80.0 %) more: "
        "vectorized_elementwise CUDAFunctor_add<float> +8.00 ms (32-bit elementwise, 1 -> 9 launches), "
        "vectorized_elementwise CUDAFunctor_add<Half> -4.00 ms (16-bit elementwise, gone, 8 launches)"
    )


def test_families_that_cancel_out_are_told_nevertheless():
    before = profile_of({"a_gemm": (1, 5e-3), "aten::gelu": (1, 1e-3)})
    after = profile_of({"a_gemm": (1, 4e-3), "aten::gelu": (1, 2e-3)})
    sentence = explain_difference(before, after)
    assert sentence.startswith("a step takes 6.00 ms of device time, as before: ")
    assert "a_gemm -1.00 ms" in sentence
    assert "aten::gelu +1.00 ms" in sentence


@pytest.mark.parametrize("listed", CASES)
def test_nothing_changed(listed):
    profile = profile_of(recorded(listed))
    jittered = profile_of({name: (count, 1.0005 * s) for name, (count, s) in recorded(listed).items()})
    expected = f"a step takes {1000 * profile.seconds:.2f} ms of device time, as before"
    assert explain_difference(profile, profile) == expected
    assert explain_difference(jittered, profile) == expected


def test_no_more_than_asked_for_is_told_and_what_is_left_is_summed():
    before, after = profile_of(recorded("bert512-tf32")), profile_of(recorded("bert512-bf16-amp"))
    assert explain_difference(before, after, most=2).split(": ", maxsplit=1)[1] == (
        "32-bit matrix product -81.29 ms (gone, 295 launches), 32-bit elementwise -34.74 ms (210 -> 52 launches), "
        "all else +11.83 ms"
    )
    assert explain_difference(before, after, most=3).count("launches") == 3


def test_a_step_that_was_empty_before_has_no_share():
    assert explain_difference(profile_of({}), milliseconds(a=(1, 2))) == (
        "a step takes 2.00 ms of device time, 2.00 ms more: a_gemm +2.00 ms (matrix product, new, 1 launch)"
    )
    assert explain_difference(profile_of({}), profile_of({})) == "a step takes 0.000 ms of device time, as before"


@pytest.mark.parametrize(
    ("more", "begins"),
    [
        (0.080, "kernels explain 0.50 ms of 80.00 ms: the rest is launches, Python or waiting. A step takes 1.50 ms of device"),
        (0.0006, "a step takes 1.50 ms of device time, 0.50 ms (50.0 %) more"),
        (None, "a step takes 1.50 ms of device time, 0.50 ms (50.0 %) more"),
    ],
)
def test_kernels_are_the_cause_of_what_they_explain(more, begins):
    before, after = (profile_of({ADD: (1, seconds)}) for seconds in (0.001, 0.0015))
    assert explain_difference(before, after, more=more).startswith(begins)


def test_kernels_that_became_faster_explain_nothing():
    before, after = (profile_of({ADD: (1, seconds)}) for seconds in (0.0015, 0.001))
    assert explain_difference(before, after, more=0.01).startswith("kernels explain 0.000 ms of 10.00 ms")
