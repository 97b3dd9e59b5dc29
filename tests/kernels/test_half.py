"""Which 16 bits a kernel computes in."""

import pytest

from mpcore.kernels.half import half_of, halves_of_products
from mpcore.records import Kernel

NAMES = [
    ("nvjet_sm90_hsh_128x192_64x5_2x1_v_bz_coopB_bias_TNN", "FP16"),
    ("nvjet_sm90_tst_64x8_64x16_2x4_h_bz_NNT", "BF16"),
    ("nvjet_sss_64x8_64x16_2x4_h_bz_NNT", None),
    ("nvjet_hsh_64x8_64x16_2x4_h_bz_NNT", "FP16"),
    ("void cutlass::Kernel2<cutlass_80_tensorop_s16816gemm_bf16_128x128_64x3_nt_align8>(Params)", "BF16"),
    ("ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_64x3_nn", "FP16"),
    ("volta_h884gemm_64x64_ldg8_nn", "FP16"),
    ("sm90_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize64x64x64__5x_cudnn", "FP16"),
    ("sm90_xmma_wgrad_indexed_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tile__5x_cudnn", "BF16"),
    ("void implicit_convolve_sgemm<__nv_bfloat16, __nv_bfloat16, 1024, 5>(int)", "BF16"),
    ("void cublasLt::splitKreduce_kernel<32, 16, int, float, __half, float, __half, false>(float)", "FP16"),
    ("sm80_xmma_gemm_f32f32_f32f32_f32_nn_n_tilesize128x64x8_execute_kernel__5x_cublas", None),
    ("triton_tem_fused_addmm_3", None),
]


@pytest.mark.parametrize(("name", "half"), NAMES)
def test_a_name_tells_its_format(name, half):
    assert half_of(name) == half


def test_only_products_count():
    names = (
        "cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16_knob_26_64x64x64",  # called so in BF16, too
        "void at::native::vectorized_elementwise_kernel<8, at::native::CUDAFunctor_add<c10::Half> >(int)",
        "nvjet_sm90_tst_64x8_64x16_2x4_h_bz_NNT",
        "nvjet_sm90_tst_128x8_64x16_2x4_h_bz_NNT",
    )
    assert halves_of_products(Kernel(name=name, count=1, seconds=1e-3) for name in names) == {"BF16": names[2]}
