"""What the headings of tables mean: terms, each with a phrase."""

SPEED_UPS = (
    "x fp32, x tf32: times as fast as that mode. Eager steps take turns with that mode, block by block. The medians under "
    "step ms are of all blocks, and may give another ratio."
)
MEMORY = "GiB: most memory that an eager step takes."
TRAININGS = (
    "train: seconds of a training. pts: points by which it is better than fp32 from the same seeds, per cent of a perplexity."
)
ERRORS = "grad., upd.: relative errors of a gradient and of 20 updates against FP64."
LAUNCHED = "eager ms: the same step launched by Python, lowest to highest of this and accepted runs."
COUNTED = "casts, launches: counted in one step. saved GiB: what it keeps for the backward pass."
OVER_GRAPH = "x graph: times as fast as the same step, not compiled."
COMPILED = "compile s: seconds to compile it."
VARIANTS = "x base, pts base: a variant against the mode that it patches, in turns."
SINCE = "since: the gravest of what changed since accepted runs."
NOT_MEASURED = '"-": not measured.'

SCALING = (
    "eager: the same step launched by Python. weak, strong: throughput over what one GPU has, times their number; weak with "
    "the batch of each, strong with the batch of all. compute: on the rank that computes longest. exposed: in which "
    "collectives run and nothing computes, on the rank that waits least. rest: of the step. bus GB/s: what each link carries "
    "a second while collectives run. slowest: the rank that others wait for, and how many times as long as the median it "
    'computes. GiB: on the rank that needs most. GPUs: on a CPU, processes. "-": not measured.'
)

RACES = (
    "ms a step. x: how many times as fast ours, our fastest, is as the fastest other, with which it took turns. All others "
    "were timed alone."
)
SAME_MODE = "x same mode: our compile against plain PyTorch by reduce-overhead, both in the mode of the others."

ALL = (
    *(SPEED_UPS, MEMORY, TRAININGS, ERRORS, LAUNCHED, COUNTED, OVER_GRAPH, COMPILED, VARIANTS, SINCE, NOT_MEASURED),
    *(SCALING, RACES, SAME_MODE),
)
