"""Models in another dtype, and modules that stay in FP32."""

import pytest
import torch
from torch import nn

from mpcore.precision.casting import cast_floats, cast_model, hold_fp32, matching


def test_patterns_choose_the_outermost_modules(model):
    assert matching(model, ["0"]) == {"0": model[0]}
    assert list(matching(model, ["*"]).values()) == list(model)
    assert matching(nn.Sequential(model), ["0", "0.1"]) == {"0": model}
    assert matching(model, []) == {}


def test_a_container_that_is_never_called_stands_for_its_children():
    blocks = nn.ModuleList([nn.Linear(4, 4), nn.ModuleDict({"a": nn.LayerNorm(4)})])
    model = nn.ModuleDict({"blocks": blocks, "head": nn.Linear(4, 4)})
    assert list(matching(model, ["blocks"])) == ["blocks.0", "blocks.1.a"]
    assert list(matching(model, ["*"])) == ["blocks.0", "blocks.1.a", "head"]


def test_attention_s_own_projection_cannot_be_kept_alone():
    model = nn.TransformerEncoderLayer(8, 2, 16)
    with pytest.raises(ValueError, match=r"keep_fp32: 'self_attn.out_proj' is never called.* expected 'self_attn' as a whole"):
        matching(model, ["self_attn.out_proj"])
    assert matching(model, ["self_attn*"]) == {"self_attn": model.self_attn}


def test_what_shares_weights_is_chosen_too():
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7, bias=False))
    model[2].weight = model[0].weight
    assert matching(model, ["2"]) == {"2": model[2], "0": model[0]}


def test_a_pattern_that_matches_nothing_is_an_error(model):
    with pytest.raises(ValueError, match=r"keep_fp32: no module of Sequential matches 'encoder\.\*'"):
        matching(model, ["encoder.*"])


def test_casts_reach_into_containers_and_leave_integers_alone():
    batch = {"x": [torch.zeros(2)], "label": torch.zeros(2, dtype=torch.long)}
    half = cast_floats(batch, torch.float16)
    assert half["x"][0].dtype == torch.float16
    assert half["label"].dtype == torch.long


def test_a_held_module_computes_in_fp32_under_autocast_and_hands_on_what_it_is_told():
    layer = nn.Linear(4, 4)
    (kept,) = hold_fp32({"head": layer}, "cpu", torch.bfloat16)
    seen = []
    layer.register_forward_hook(lambda _module, _args, out: seen.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        exact = layer(torch.full((1, 4), 1 / 3))
    assert seen == [torch.bfloat16]
    assert kept.called
    assert torch.equal(exact, nn.functional.linear(torch.full((1, 4), 1 / 3), layer.weight, layer.bias).bfloat16())


def test_a_held_module_whose_author_casts_hands_on_fp32_where_it_is_called_so():
    head, table = nn.Linear(4, 4), nn.Embedding(3, 4)
    for kept in hold_fp32({"head": head, "table": table}, "cpu", torch.bfloat16):
        kept.as_called = True
    assert head(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert head(torch.ones(1, 4)).dtype == torch.float32
    assert table(torch.tensor([1])).dtype == torch.bfloat16


def test_the_model_is_cast_but_for_what_is_kept(model):
    cast_model(model, torch.bfloat16, [model[1]])
    assert [p.dtype for p in model.parameters()] == [torch.bfloat16] * 2 + [torch.float32] * 2 + [torch.bfloat16] * 2
