"""Llama: the same function as transformers' own, in fewer kernels."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mpcore.data.vocabulary import size
from mpcore.device.flops import FlopCount
from mpcore.matrix import workloads_of
from mpcore.precision import precisions
from mpcore.records import Selection
from mpcore.training.step import TrainStep
from mpcore.workloads import cross_entropy, workloads
from mpcore.workloads.llama import llama
from mpcore.workloads.llama_text import CONFIG, LlamaText

TINY = {"vocab_size": 64, "max_position_embeddings": 32, **CONFIG["tiny"]}


@pytest.fixture(scope="module")
def workload():
    return LlamaText("tiny")


@pytest.fixture(scope="module")
def batch(workload):
    return workload.split("test", torch.device("cpu")).rows(slice(8))


@pytest.fixture(scope="module")
def model(workload):
    torch.manual_seed(0)
    return workload.build_model()


def test_it_computes_what_transformers_does():
    """Loss and gradients, with a mask that it makes and attention and norms in many kernels."""
    torch.manual_seed(0)
    plain = LlamaForCausalLM(LlamaConfig(**TINY, attn_implementation="eager")).double()
    ours = llama(**TINY).double()
    ours.load_state_dict(plain.state_dict())
    ids = torch.randint(64, (4, 32))
    logits = plain(input_ids=ids[:, :-1], use_cache=False).logits
    losses = [cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()), ours(ids[:, :-1], ids[:, 1:])]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[0], losses[1])
    gradients = [{name: p.grad for name, p in model.named_parameters()} for model in (plain, ours)]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_no_token_sees_a_later_one_and_each_sees_all_before_it(model, workload, batch):
    ids = batch["input_ids"].clone()
    before = workload._logits(model, {"input_ids": ids})
    ids[:, 20] = (ids[:, 20] + 1) % size(workload.tokeniser)
    after = workload._logits(model, {"input_ids": ids})
    torch.testing.assert_close(after[:, :20], before[:, :20])
    assert (after[:, 20:] - before[:, 20:]).abs().amax(-1).min() > 1e-6


@pytest.mark.parametrize("mode", ["bf16-manual", "bf16-true"])
def test_angles_are_not_rounded_to_the_weights_format(workload, cpu, mode):
    rotary = TrainStep(workload, precisions[mode](), cpu).model.model.rotary_emb
    assert rotary.inv_freq.dtype == torch.float32
    cosine, _ = rotary(torch.zeros(1, dtype=torch.bfloat16), torch.arange(2048)[None])
    angles = torch.arange(2048)[:, None].double() * rotary.inv_freq.double()
    torch.testing.assert_close(cosine[0, :, :8].double(), angles.cos(), rtol=0, atol=2**-8)


def test_queries_in_groups_are_given_to_flash_attention_as_they_are(monkeypatch, workload, model, batch):
    """On a CPU, where it is not, keys are repeated."""
    given = []
    attend = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        "torch.nn.functional.scaled_dot_product_attention",
        lambda query, key, *args, **kwargs: (
            given.append((query.shape, key.shape, kwargs)) or attend(query, key, *args, **kwargs)
        ),
    )
    workload.loss(model, batch)
    assert [(query[1], key[1], kwargs["enable_gqa"]) for query, key, kwargs in given] == [(4, 4, False)] * 2


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("mode", ["fp32", "bf16-amp", "bf16-manual"])
def test_attention_takes_a_fused_kernel_in_every_format(workload, mode):
    device = torch.device("cuda")
    step = TrainStep(workload, precisions[mode](), device)
    batch = workload.split("train", device).rows(slice(8))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        step(batch)
    names = {event.key for event in seen.key_averages()}
    assert "aten::_scaled_dot_product_attention_math" not in names
    fused = ("efficient",) if mode == "fp32" else ("flash", "cudnn")
    assert names & {f"aten::_scaled_dot_product_{kernel}_attention" for kernel in fused}


def test_a_saved_model_is_loaded(workload, batch, tmp_path):
    torch.manual_seed(0)
    plain = LlamaForCausalLM(LlamaConfig(**TINY))
    plain.save_pretrained(tmp_path / "saved")
    PreTrainedTokenizerFast(tokenizer_object=workload.tokeniser).save_pretrained(tmp_path / "saved")
    loaded = LlamaText("tiny", checkpoint=str(tmp_path / "saved"))
    model = loaded.build_model()
    assert all(torch.equal(model.state_dict()[name], weight) for name, weight in plain.state_dict().items())
    assert {type(m) for name, m in model.named_modules() if name.endswith("norm")} == {torch.nn.RMSNorm}


def test_the_full_model_is_tiny_llama():
    with torch.device("meta"):
        workload = LlamaText("full")
        model = workload.build_model()
        batch = {"input_ids": torch.zeros(1, 2049, dtype=torch.int64)}
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(1.1e9, rel=0.001)
    assert model.get_input_embeddings().num_embeddings == 32_000
    with FlopCount() as flops:
        workload.loss(model, batch).backward()
    products = 6 * 2048 * (1.1e9 - 32_000 * 2048)
    assert products < flops.total < 1.2 * products


def test_the_block_is_that_of_llama_3_and_fp8_gains_by_it():
    with torch.device("meta"):
        model = workloads["llama-block"]("full").build_model()
    block = model.model.layers[0]
    assert sum(p.numel() for p in block.parameters()) == pytest.approx(218e6, rel=0.001)
    tensorwise, rowwise = (precisions[name]() for name in ("fp8", "fp8-rowwise"))
    for precision in (tensorwise, rowwise):
        with torch.device("meta"):
            precision.apply(workloads["llama-block"]("full").build_model())
    assert tensorwise.remark == "11 of 15 linear layers are in FP8"  # all but keys and values
    assert rowwise.remark == "10 of 15 linear layers are in FP8"  # nor the head


def test_it_is_measured_where_it_is_named():
    assert "llama-text" not in workloads_of(Selection())
    assert "llama-text" in workloads_of(Selection(workloads=("all",)))
