"""Ranks that have in common what they must, and faults in that, each with the figure that fails and what is said of it."""

import stub

from mpcore.records import Collective, OnePart, RankState, Repetition, Requirements, Unlike

GOOD = RankState(masters="a", weights="b", optimiser="c", buffers="d", loss_scale=1024.0, skipped_steps=2)
AFTER = GOOD.model_copy(update={"masters": "e", "loss_scale": 512.0, "skipped_steps": 3})
SENT = Collective(operation="allreduce_", dtype="float32", calls=2, elements=100, bytes=400)
SPREAD_ALREADY = stub.case("bert").model_copy(update={"strategy": "own", "gpus": 2})
RIGHT = {
    "case": stub.case("bert").model_copy(update={"strategy": "ddp", "gpus": 2}),
    "workload_version": 1,
    "device": "cpu",
    "batch_size": 8,
    "unit": "rows",
    "requirements": Requirements(gradient_error=0.1),
    "steps": 20,
    "sharded": False,
    "ranks": (GOOD, GOOD),
    "planted": (AFTER, AFTER),
    "collectives": (SENT,),
    "alike": True,
    "reduction": "allreduce_",
    "reduced": 100,
    "accumulated": 100,
    "mode_error": 0.01,
    "one_part": OnePart(mode_error=0.01),
    "fp64_error": 1e-15,
    "joint_error": 1e-15,
}


def other(state, **changes):
    return state.model_copy(update=changes)


OTHERWISE = Repetition(steps=8, first=(GOOD, GOOD), second=(GOOD, other(GOOD, weights="x")))
MORE = SENT.model_copy(update={"calls": 3, "bytes": 500})
OTHER = SENT.model_copy(update={"dtype": "bfloat16"})
FAULTS = [
    (
        {"ranks": (GOOD, other(GOOD, masters="x"))},
        "replicas",
        "rank 1 has what the optimiser updates otherwise than",
    ),
    (
        {"ranks": (GOOD, other(GOOD, masters="x")), "apart": ("0.weight", "2.bias", "2.weight")},
        "replicas",
        "otherwise than rank 0 has. The first weight that differs is 0.weight, and 2 more differ",
    ),
    (
        {"ranks": (GOOD, other(GOOD, masters="x")), "apart": ("2.bias",)},
        "replicas",
        "otherwise than rank 0 has. The only weight that differs is 2.bias",
    ),
    ({"ranks": (GOOD, other(GOOD, optimiser="x"))}, "replicas", "rank 1 has the state of the optimiser otherwise than"),
    ({"ranks": (GOOD, other(GOOD, loss_scale=1.0))}, "replicas", "rank 1 has the loss scale otherwise than rank 0 has"),
    ({"ranks": (GOOD, other(GOOD, skipped_steps=1))}, "replicas", "rank 1 has the number of skipped steps otherwise"),
    (
        {"repetition": OTHERWISE.model_copy(update={"second": (GOOD, other(GOOD, buffers="x"))})},
        "graph",
        "rank 1 has the buffers of the model otherwise than in a second training",
    ),
    ({"repetition": OTHERWISE, "sharded": True}, "replicas", "otherwise than in a second training from the same seed"),
    (
        {"repetition": OTHERWISE.model_copy(update={"by_python": True, "apart": ("2.bias",)})},
        "graph",
        "after 8 steps rank 1 has the weights of the model otherwise than in a second training from the same "
        "seed. The only weight that differs is 2.bias. Python launches the second training",
    ),
    (
        {"operations": (Unlike(rank=1, on_first={}, here={"item | float32 |  | head | forward": 2}),)},
        "operations of ranks",
        "with one batch rank 1 does otherwise than rank 0: item (float32) 0 -> 2 in head, forward",
    ),
    (
        {"kernels": (Unlike(rank=1, on_first={"gemm": 3}, here={"gemm": 2, "other": 1}),)},
        "kernels of ranks",
        "the graph of rank 1 launches other kernels than rank 0's: gemm 3 on rank 0, 2 here; other 0 on rank 0, 1 here",
    ),
    (
        {"case": SPREAD_ALREADY, "one_batch": True},
        "replicas",
        "all ranks are given the same batches. Replicas are then equal even if nothing is averaged; expected other batches",
    ),
    ({"planted": (GOOD, AFTER)}, "skipped steps", "is infinite rank 0 did not skip it"),
    ({"planted": (AFTER, other(AFTER, loss_scale=1024.0))}, "skipped steps", "rank 1 did not lower its scale"),
    ({"planted": (AFTER, other(AFTER, loss_scale=256.0))}, "skipped steps", "rank 1 has a loss scale of 256"),
    ({"alike": False}, "collectives", "ranks call other collectives in one and the same step"),
    ({"reduced": 101}, "averaged gradients", "averages 100 elements of gradients, and has 101"),
    (
        {"reduced": 99},
        "averaged gradients",
        "averages 100 elements of gradients, and has 99. Those count, too, that a loss gives to allreduce_ itself",
    ),
    (
        {"accumulated": 200},
        "accumulated gradients",
        "goes through in parts averages 200 elements of gradients",
    ),
    (
        {"fp64_error": 0.5},
        "gradient in FP64 in parts",
        "average in FP64 is 0.5 from the one that FP64 computes on one rank",
    ),
    (
        {"joint_error": 1e-6},
        "gradient in FP64 in one piece",
        "1e-09 is the most. The one rank has the batch of all in one piece",
    ),
    (
        {"mode_error": 0.5},
        "gradient in fp32 in parts",
        "average in fp32 is 0.5 from the one that FP64 computes on one rank",
    ),
    ({"mode_error": None}, "gradient in fp32 in parts", "average in fp32 is not finite"),
    (
        {"one_part": OnePart(mode_error=0.5)},
        "gradient in fp32 in a part for each rank",
        "average in fp32 is 0.5 from the one that FP64",
    ),
    (
        {"one_part": OnePart(losses=(1.0, None))},
        "gradient in fp32 in a part for each rank",
        "0.1 is the most. The loss of rank 1 is not finite",
    ),
    (
        {"one_part": OnePart(mode_error=0.01, settling=3, settling_alone=2)},
        "overflow between ranks in one part",
        "3 steps are skipped until the loss scale fits the averaged gradient of a batch in one part, 2 where each rank",
    ),
    ({"mode_error": None, "fp64_error": None}, "gradient in FP64 in parts", "average in FP64 is not finite"),
    (
        {"mode_error": None, "fp64_error": None, "reference": "fp32"},
        "gradient in fp32 in parts",
        "FP32 computes on one rank",
    ),
    ({"mode_error": None, "fp64_error": None, "accumulated": None, "case": SPREAD_ALREADY}, None, ""),
    (
        {"settling": 3, "settling_alone": 2},
        "overflow between ranks",
        "3 steps are skipped until the loss scale fits the averaged gradient, 2 where each rank is alone. Gradients that",
    ),
    ({"settling": 2, "settling_alone": 2}, None, ""),
]
