"""Strategies as far as one process shows them."""

from unittest.mock import Mock

import pytest
import torch
from torch import distributed, nn
from torch.distributed.tensor import DTensor

from mpcore.device import agreement
from mpcore.measure.joint import side_by_side
from mpcore.precision import Inapplicable, PrecisionError, precisions
from mpcore.precision.flat import Group
from mpcore.precision.sharded import SHARDED, ShardedBF16
from mpcore.records import Recipe
from mpcore.strategies import DataParallel16, FullyShard, LossModule, Strategy, SynchronisedBatchNorm, overlapped, strategies
from mpcore.strategies.ddp import average
from mpcore.strategies.fsdp import blocks
from mpcore.strategies.overlapped import pieces
from mpcore.trainers import trainers
from mpcore.training.step import TrainStep


def test_the_registry_has_them():
    assert strategies.names() == ["single", "ddp", "ddp-syncbn", "fsdp", "ddp-overlap", "own", "ddp-16bit", "fsdp-16bit"]


def test_on_one_gpu_nothing_is_wrapped(dots, cpu):
    step = TrainStep(dots, precisions["fp32"](), cpu)
    assert type(step.strategy) is Strategy
    assert isinstance(step._forward, LossModule)
    assert step._forward.model is step.model


def test_repeated_blocks_are_the_members_of_the_outermost_lists():
    inner = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    layers = nn.ModuleList([nn.Sequential(nn.Linear(2, 2), inner), nn.Sequential(nn.Linear(2, 2))])
    mixed, one = nn.ModuleList([nn.Linear(2, 2), nn.ReLU()]), nn.ModuleList([nn.Linear(2, 2)])
    model = nn.ModuleDict({"body": nn.ModuleDict({"layers": layers}), "mixed": mixed, "one": one})
    assert list(blocks(model)) == list(layers)


@pytest.mark.parametrize(
    ("mode", "optimiser", "why"),
    [
        ("fp32", "AdamW", None),
        ("bf16-true", "AdamW", None),
        ("fp16-manual", "Adam", None),
        ("fp32", "SGD", "fsdp has no fp32 with SGD: torch's fused SGD takes no sharded weights"),
        ("bf16-kahan", "AdamW", "bf16-kahan keeps all weights in one flat tensor, and fsdp lays out what it shards itself"),
        ("fp8", "AdamW", "fp8 casts weights at each use, and fsdp where they are gathered"),
        ("fp16-forward", "AdamW", "fsdp has no fp16-forward: expected one of fp32, tf32, bf16-true, fp16-manual, bf16-manual"),
    ],
)
def test_fsdp_says_what_it_has_not(cpu, mode, optimiser, why):
    found = FullyShard.unsupported(precisions[mode], optimiser, 2, cpu)
    assert found is None if why is None else found.startswith(why)


def test_manual_modes_are_what_fsdp_calls_mixed_precision(cpu):
    """By the same name, and as their names say."""
    for name, kind in SHARDED.items():
        found = FullyShard(cpu).mode(precisions[name](keep_fp32=("head",), max_norm=2.0))
        assert (type(found), found.keep_fp32, found.max_norm) == (kind, ("head",), 2.0)
        assert (found.dtype, found.scales, found.is_mixed) == (
            precisions[name].dtype,
            precisions[name].scales,
            precisions[name].is_mixed,
        )


@pytest.mark.parametrize(("patterns", "kept"), [(("1",), "1 is to stay in FP32"), ((), "2 is to stay in FP32 in bf16-manual")])
def test_what_fsdp_would_cast_and_must_not_is_told(patterns, kept):
    last = nn.BatchNorm1d(2) if not patterns else nn.ReLU()
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), last)
    with pytest.raises(Inapplicable, match=kept):
        ShardedBF16(keep_fp32=patterns).prepare(model, None)


def test_what_has_no_weights_is_kept_in_fp32_where_fsdp_casts_all_others():
    """As the angles of rotary positions are."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Softmax(-1))
    mode = ShardedBF16(keep_fp32=("1",))
    mode.prepare(model, Recipe(epochs=1, batch_size=1, learning_rate=0.1))
    seen = []
    model[1].register_forward_hook(lambda _, given, found: seen.append((given[0].dtype, found.dtype)))
    model[1](torch.ones(1, 2, dtype=torch.bfloat16))
    assert [kept.name for kept in mode.kept] == ["1"]
    assert seen == [(torch.bfloat16, torch.bfloat16)]
    assert model[1].forward(torch.tensor([[300.5, 300.0]])).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("strategy", "mode", "why"),
    [
        ("ddp-overlap", "bf16-manual", None),
        ("ddp-overlap", "bf16-amp", "ddp overlaps what bf16-amp sends already, in buckets"),
        ("ddp-16bit", "fp16-amp", None),
        ("ddp-16bit", "bf16-true", "ddp-16bit sends in 16 bits what has FP32 masters, and bf16-true has none"),
        ("ddp-16bit", "fp32", "ddp-16bit sends in 16 bits what has FP32 masters, and fp32 has none"),
        ("fsdp-16bit", "fp16-manual", None),
        ("fsdp-16bit", "fp32", "fsdp-16bit sends in 16 bits what has FP32 masters, and fp32 has none"),
    ],
)
def test_how_gradients_travel_is_for_modes_where_it_makes_a_difference(cpu, strategy, mode, why):
    found = strategies[strategy].unsupported(precisions[mode], "AdamW", 2, cpu)
    assert found is None if why is None else found.startswith(why)


def test_pieces_are_all_of_the_flat_gradient_from_its_end(monkeypatch):
    monkeypatch.setattr(overlapped, "PIECE_BYTES", 4 * 100)
    group = Group(
        {str(n): nn.Parameter(torch.ones(size)) for n, size in enumerate((70, 30, 10, 64))}, torch.float32, shared=False
    )
    found = pieces(group)
    assert [piece.names for piece in found] == [("3", "2"), ("1", "0")]
    assert [piece.gradient.numel() for piece in found] == [128, 192]
    assert found[-1].gradient.storage_offset() == 0
    assert sum(piece.gradient.numel() for piece in found) == group.whole.numel()


@pytest.mark.parametrize("add", [False, True])
def test_gradients_that_are_gathered_early_are_those_gathered_at_the_end(add):
    def gathered(early):
        weights = {name: nn.Parameter(torch.ones(3, dtype=torch.bfloat16)) for name in "abc"}
        group = Group(weights, torch.float32, shared=False)
        group.whole.grad.fill_(2.0)
        for number, name in enumerate("ab"):
            weights[name].grad = torch.full((3,), number + 1.0, dtype=torch.bfloat16)
        if early:
            group.gather_early(["b"], add=add)
        group.gather(add=add)
        return {name: value.tolist() for name, value in group.gradients.items()}, weights["b"].grad

    assert gathered(early=True) == gathered(early=False)
    assert gathered(early=True)[0]["b"] == [4.0 if add else 2.0] * 3


def test_synchronised_statistics_need_a_batch_norm(cpu):
    with pytest.raises(Inapplicable, match="finds no BatchNorm in the model: expected --mp-strategy ddp"):
        SynchronisedBatchNorm(cpu).convert(nn.Linear(1, 1))
    assert isinstance(SynchronisedBatchNorm(torch.device("cpu")).convert(nn.BatchNorm1d(2)), nn.SyncBatchNorm)


def test_fsdp_shards_rows_and_says_so_of_a_weight_that_has_none(cpu):
    model = nn.Conv2d(2, 2, 3).to(memory_format=torch.channels_last)
    with pytest.raises(Inapplicable, match="fsdp shards rows, and weight lies in memory otherwise"):
        FullyShard(cpu).shard(LossModule(model, lambda batch: None), precisions["fp32"]())


@pytest.mark.parametrize(
    ("dtype", "ranks", "cuda", "operation"),
    [
        (torch.float32, 3, False, "AVG"),
        (torch.bfloat16, 4, True, "AVG"),
        (torch.bfloat16, 3, True, "SUM"),
        (torch.float16, 4, False, "SUM"),
    ],
)
def test_a_mean_in_16_bits_is_no_product_with_a_rounded_share(monkeypatch, dtype, ranks, cuda, operation):
    """As a third of BF16 is. gloo would divide a sum that has overflown."""
    called = []
    monkeypatch.setattr(torch.Tensor, "is_cuda", cuda)
    monkeypatch.setattr(agreement, "ranks", lambda: ranks)
    monkeypatch.setattr(distributed, "all_reduce", lambda *of, **options: called.append(of))
    gradient = torch.full((2,), 3.0, dtype=dtype)
    average(gradient)
    (sent,) = called
    assert sent[1:] == ((distributed.ReduceOp.AVG,) if operation == "AVG" else ())
    assert gradient.tolist() == ([3.0, 3.0] if operation == "AVG" else [3.0 / ranks] * 2)


@pytest.fixture
def two_ranks(monkeypatch):
    """Two that have the same batch. In the list is what travels."""
    sent = []

    def both_have_it(gradient, operation=distributed.ReduceOp.SUM, async_op=False):
        sent.append(gradient.clone())
        if operation == distributed.ReduceOp.SUM:
            gradient.mul_(2)
        return Mock()

    monkeypatch.setattr(agreement, "ranks", lambda: 2)
    monkeypatch.setattr(agreement, "gathered", lambda value: [value, value])
    monkeypatch.setattr(distributed, "all_reduce", both_have_it)
    return sent


def in_16_bits(workload, mode, parts, device, strategy=None):
    """A step of two ranks, or of one without a strategy. Its scale is one with which no sum of FP16 overflows."""
    step = TrainStep(workload, precisions[mode](), device, accumulate=parts, dropout=False, strategy=strategy)
    if step.loss_scale is not None:
        step.loss_scale.fill_(1024.0)
    return step


def gradients_of(step, batch, monkeypatch):
    """Those that the optimiser would get."""
    found = {}
    monkeypatch.setattr(type(step.precision), "update", lambda self: found.update(self.gradients()))
    step(batch)
    step.precision.gathered = False
    return {name: gradient.clone() for name, gradient in found.items()}


@pytest.mark.parametrize("mode", ["bf16-manual", "fp16-manual"])
@pytest.mark.parametrize("normed", [False, True])
def test_what_travels_in_16_bits_is_the_mean_over_ranks(two_ranks, dots, cpu, monkeypatch, mode, normed):
    """In one part as the model has it, in FP32 first where parts add up. What stays in FP32, as BatchNorm, is rounded once."""
    if normed:
        layers = (lambda: nn.Linear(16, 8)), (lambda: nn.BatchNorm1d(8)), (lambda: nn.Linear(8, 2))
        monkeypatch.setattr(type(dots), "build_model", lambda self: nn.Sequential(*(layer() for layer in layers)))
    batch = dots.split("train", cpu).rows(slice(8))
    error = 2 * precisions[mode].roundoff()
    for parts in (1, 2, 1):
        together = in_16_bits(dots, mode, parts, cpu, DataParallel16(cpu))
        averaged = gradients_of(together, batch, monkeypatch)
        alone = in_16_bits(dots, mode, parts, cpu)
        for name, gradient in gradients_of(alone, batch, monkeypatch).items():
            exact = parts == 1 and dict(alone.model.named_parameters())[name].dtype == precisions[mode].dtype
            torch.testing.assert_close(averaged[name], gradient, rtol=0 if exact else error, atol=0 if exact else 1e-6)
    assert {gradient.dtype for gradient in two_ranks} == {precisions[mode].dtype}


def test_gradients_of_one_part_are_averaged_before_they_are_in_fp32(two_ranks, dots, cpu, monkeypatch):
    step = in_16_bits(dots, "bf16-manual", 1, cpu, DataParallel16(cpu))
    both_have_it, seen = distributed.all_reduce, []
    whole = step.precision.groups[0].whole
    monkeypatch.setattr(distributed, "all_reduce", lambda *given, **how: seen.append(whole.grad.any()) or both_have_it(*given))
    gradients_of(step, dots.split("train", cpu).rows(slice(8)), monkeypatch)
    assert seen == [False]
    assert whole.grad.any()


def test_a_step_that_fails_leaves_the_next_one_right(two_ranks, dots, cpu, monkeypatch):
    step = in_16_bits(dots, "bf16-manual", 1, cpu, DataParallel16(cpu))
    batch = dots.split("train", cpu).rows(slice(8))
    with pytest.raises(KeyError), step.strategy.micro_batch(last=True):
        raise KeyError
    assert all(group.exchange is None for group in step.precision.groups)
    assert gradients_of(step, batch, monkeypatch)


def test_after_a_step_that_fails_a_part_sends_nothing_early(two_ranks, dots, cpu):
    step, batch = in_16_bits(dots, "bf16-manual", 2, cpu, overlapped.Overlapped(cpu)), dots.split("train", cpu).rows(slice(8))
    step(batch)
    assert two_ranks
    two_ranks.clear()
    with pytest.raises(KeyError), step.strategy.micro_batch(last=True):
        raise KeyError
    with step.strategy.micro_batch(last=False):
        step.precision.backward(step._forward(batch))
    assert not two_ranks


def test_gradients_that_travel_as_they_are_are_not_added_to(two_ranks, dots, cpu):
    step = in_16_bits(dots, "bf16-manual", 1, cpu, DataParallel16(cpu))
    with (
        step.strategy.micro_batch(last=True),
        pytest.raises(PrecisionError, match="gathered twice for one part of a batch: expected one call of backward"),
    ):
        step.precision.groups[0].gather(add=True)


def test_parts_that_all_ranks_have_side_by_side():
    """Two ranks with four samples each, in two parts."""
    assert side_by_side({"x": torch.arange(8)}, 2, 2)["x"].tolist() == [0, 1, 4, 5, 2, 3, 6, 7]


@pytest.fixture
def group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("name", ["mpcore", "plain", "fabric"])
def test_a_prediction_is_made_with_the_weights_of_its_time(dots, cpu, group, name):
    """Those that one has gathered would be used again by the next, though the step has updated them since."""
    if reason := trainers[name].unsupported("fp32", "eager", cpu):
        pytest.skip(reason)
    step = trainers[name]().step(dots, precisions["fp32"](), cpu, strategy=strategies["fsdp"](cpu), dropout=False)
    alone = trainers[name]().step(dots, precisions["fp32"](), cpu, dropout=False)
    test = dots.split("test", cpu).columns
    predicted = []
    for each in (step, alone):
        first = each.predict(test).clone()
        for batch in dots.split("train", cpu).batches(32):
            each(batch)
        predicted.append((first, each.predict(test).clone()))
    assert all(isinstance(weight, DTensor) for weight in step.model.parameters())
    (first, last), expected = predicted
    assert torch.equal(first, expected[0])
    assert torch.equal(last, expected[1])
    assert not torch.equal(first, last)


def test_a_strategy_of_ones_own_is_asked_by_its_name():
    class Mine(Strategy):
        name = "mine"

    said = Mine.unsupported(precisions["fp32"], "adamw", 2, torch.device("cpu"))
    assert said == "mine takes Strategy's unsupported(): expected one that returns None for what it can spread"
