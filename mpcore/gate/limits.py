"""Every threshold of the gate, with its unit and its reason.

Margins and caps can be set by the user. Confidences, priors, looks and numbers of pairs are constants, for the published error
rates hang on them.
"""

ERROR_CAP = 0.5
"""Relative error. A gradient that is off by half its length is of no use, whatever the format."""
LOSS_ERROR_ROUNDOFFS = 16.0
"""Round-offs of the format that the loss may be off by."""
UPDATE_ERROR_CAP = 0.05
"""Relative error that updates may always have. Adam divides by the size of a gradient, so that entries which are nothing but
noise count like the others. In FP32 that made 0.0013 to 0.024 of the update, from process to process (ResNet-18 on H100 and
H200). Without masters it is 0.4 and more."""
FLUSHED_SHARE_CAP = 0.01
"""Share of gradient entries that a scaled loss may leave at zero."""
MOST_OF_A_STEP = 1.5
"""How many times its share of the forward pass a layer's share of a step may be. In the backward pass a layer has two products,
or one where its input needs no gradient."""
ROUNDING_ALONE = 0.5
"""Relative error of a tensor's gradient that rounding alone makes. From there on what is left of the gradient is chance, and an
error of its own size says nothing. The largest seen that is still judged is 0.46 (U-Net in BF16)."""
TENSOR_ROUNDINGS = 4.0
"""Times what rounding every result of the step in FP64 to the format does to a tensor's gradient, that it may be wrong by. That
grows with depth by itself, as k C^depth eps does, and needs no C. Seen in all workloads at the tiny size, in all modes on a
CPU: 2.3 at most of weights of products and convolutions. Of biases it was 3.1, of norms and embeddings under autocast 2.2."""
WHOLE_ROUNDINGS = 2.5
"""Times what the same rounding does to all gradients or all updates together, that these may be wrong by. Single tensors vary
more. Seen: 2.3 at most."""
FP32_WHOLE_ROUNDINGS = 16.0
"""The same in FP32, whose sums a GPU adds up in FP32 itself: each is rounded as often as it has terms. Seen: 10 (GPT-2)."""
TENSOR_ROUNDOFFS = 1.0
"""Round-offs of the format that are added: rounded results may come out right by chance, and a kernel's not."""
SUMMED_ROUNDOFFS = 512.0
"""Round-offs of FP32 that are added: sums over a batch are added up in FP32, which is no result of its own. Seen: 164."""
CPU_SUMMED_ROUNDOFFS = 64.0
"""Round-offs of the format, where a CPU adds up the gradients of a 16-bit vector or embedding in the format itself, row by row.
Seen: 37 (a LayerNorm's bias over 8,192 rows in FP16), 21 in BF16."""
TENSOR_UPDATE_ERROR = 0.4
"""Relative error that the updates of a tensor may always have: of a small tensor one entry of chance is a large share. Seen:
0.27 (32 biases of a U-Net in FP16). Without masters it is 0.45 and more."""
TENSOR_UPDATE_ROUNDINGS = 3.0
"""Times what rounding alone does to a tensor's first update, that its updates may be wrong by. Seen: 1.3. Where they are wrong
by more, times what it does to all. Seen: 2.3 (layer norms of a narrow BERT in FP16)."""
VARIANT_ERROR_FACTOR = 2.0
"""How many times as far from FP64 as in its base a variant's gradient of a tensor may be. Where the base comes out right by
chance, times what rounding alone makes."""
LEARNED_SHARE = 0.2
"""What the loss must have fallen by after at most a hundred steps on two batches, as a share. Dropout moves the mean of five
losses by a twentieth. The slowest learner of the workloads, BERT-base with Kahan summation, gets there in 32."""
OWN_LEARNED_SHARE = 0.1
"""The same of a step that exists already. Its rate may still be rising, and only its author could raise it."""
FP64_PARTS_ERROR = 1e-9
"""Relative error of a gradient in FP64 that was added up in another order, over ranks or parts of a batch. Seen: 4e-15."""
LIKE_ERROR_TIMES = 1.25
"""Times as far from FP64 as by `ddp` that a gradient averaged by `fsdp` may be. Seen on two ranks: 0.95 to 1.01."""
SLOWER_RANK_TIMES = 1.04
"""Times as long as the median of ranks that one may compute. Kernels of equal GPUs of one host differ by 1 to 2 % (a matrix
product of 8192 on eight H100: 1.2 %). A rank that is 5 % slower holds all others up."""
DROPPED_BLOCKS_SHARE = 0.25
"""Blocks in which the GPU was slowed down, for each good one, that leave a case decided."""
FASTEST_AT_LEAST = 1.04
"""Times as fast as the fastest step of other trainers, compiled or not, that our fastest with FP32 masters must be."""
SAME_MODE_AT_LEAST = 1.0
"""Times as fast as plain PyTorch by reduce-overhead that our step by compile must be in the same mode."""
BROKEN_TOLERANCES = 5.0
"""Tolerances away from FP32. The spread of a mode that far off says nothing of other modes."""
LAST_SHARE = 0.1
"""Of the steps of an own training, whose mean loss is compared, and held against those of as many first ones."""
LEAST_SEEDS = 3
"""Trainings. From fewer nothing follows of the spread."""
LEAST_TOLERANCES_TO_CEILING = 5.0
"""Tolerances that FP32's score must lie below the ceiling. Where nearly all is right, nothing can be lost."""
LEAST_TOLERANCE_ROWS = 4.0
"""Rows of the test set that a tolerance is at least. One or two rows change by chance."""
SENSITIVE_SHARE = 0.95
"""Of the trials of a planted fault that costs a tolerance or more, in which it must be found."""

STEP_TIME_MARGIN_PERCENT = 1.25
"""What a graph's step may take more than in accepted runs. What Python launches on a GPU is never judged by its time. From one
machine start to another that was seen to differ by up to 85 %; launches are counted. A CPU is shared with others: its times are
judged only where a margin is given."""
MEMORY_MARGIN_PERCENT = 1.0
"""What a step may hold more than in the last accepted run: memory repeats. A change of at most
`EAGER_MEMORY_NOISE_BYTES` or `GRAPH_MEMORY_NOISE_BYTES` is none."""
COMPILE_TIME_MARGIN_PERCENT = 50.0
"""What it may take more to compile a step than in accepted runs that found as much in the cache. It hangs on the host, which is
shared: this finds what takes twice as long."""
COMPILE_TIME_NOISE_SECONDS = 5.0
"""What it may always take more."""
ERROR_MARGIN_FACTOR = 1.5
"""Times the accepted error against FP64. Errors of one code spread by less from GPU to GPU."""
COMMON_TIME_MARGIN_PERCENT = 1.0
"""What the steps of all graphs may take more, by their median: that is known better than one of them."""
STEADY_PRIOR_LOG_SD = 0.002
"""Standard deviation between runs of a case, where the clock stands still, that is assumed before any is seen. It is of the
logarithm of the shortest block. Seen in eight runs on eight GPUs: 0.14 % (H200) and 0.18 % (H100)."""
POWER_CAP_PRIOR_LOG_SD = 0.004
"""The same where the power limit paces the step. Seen: 0.34 and 0.29 %. The median block differs by half as much again."""
UNSTEADY_PRIOR_LOG_SD = 0.01
"""The same where the clock moves for another reason or is not known, and on a kind of GPU that is not calibrated."""
CPU_PRIOR_LOG_SD = 0.15
"""The same on a CPU, which others share. Its times are judged only where a margin is given."""
SHARED_PRIOR_LOG_SD = 0.001
"""The same of what all cases of a run share. Seen: 0.003 % (H200) and 0.037 % (H100)."""
PRIOR_RUNS = 10
"""Observations that a prior counts for: three runs say little of the spread between runs, thirty say more."""
CLOCK_STEP_MHZ = 15
"""Steps in which the clock of an NVIDIA GPU moves."""
CLOCKS_DIFFER = 0.06
"""Share by which clocks of machine starts may differ: 3 % to either side. What differs by more is no machine start, but another
state of the GPU, and is not put at one clock."""
LEAST_CALIBRATION_RUNS = 3
"""Runs of one code, for how far they differ."""
LEAST_CALIBRATION_GPUS = 3
"""GPUs that earn less than `UNSTEADY_PRIOR_LOG_SD`: what differs between two GPUs is not seen on one."""
COMMON_CHANGE_CASES = 4
"""Cases from which on it is worth a word what all of them share."""
EAGER_MEMORY_NOISE_BYTES = 8 * 2**20
"""torch's allocator gives the last MiB of a block away with what precedes it, and counts it as allocated. How many times it
does hangs on what was freed before. Peaks of the same code differed by up to 3.4 MiB where 1 % is less (a ResNet-18)."""
GRAPH_MEMORY_NOISE_BYTES = 2 * 2**20
"""torch's allocator takes small tensors from segments of 2 MiB, and a graph holds whole ones. Where the last is all but full, a
few bytes make one more. Seen: 48 and 50 MiB (a ResNet-18 on two H200)."""
LEAST_AGREEING_RUNS = 2
"""Accepted runs that must have a convolution's kernels alike before a difference in them says anything. cuDNN chooses them by
what memory is free, and by what it has timed."""
FLUSHED_SHARE_NOISE = 1e-4
"""So small a share of gradient entries is a handful of them, by chance the one or the other."""

PAIR_TIME_MARGIN_PERCENT = {"graph": 0.5, "eager": 1.0, "cpu": 1.0}
"""What a step may take more in head than in base, measured in pairs of fresh processes. A graph's time spreads by a tenth of
that. Python's spreads by ten times its margin, so that it is mostly undecided: but what is wide there is the interval, and not
what matters. The same on a CPU."""
PAIR_MEMORY_MARGIN_PERCENT = 1.0
"""What a graph may hold more in head than in base, and no less than `GRAPH_MEMORY_NOISE_BYTES`."""
PAIR_BLIND_PERCENT = 3.0
"""Slowdown that must be excluded after the last look: a case that may be slower by more is not measured well enough."""
PAIR_LOOKS = (6, 12)
"""Pairs after which the verdicts are looked at. Looking after every pair would turn one false alarm in a hundred into four."""
PAIR_ERROR_RATE = 0.01
"""False alarms of a case, over all looks."""
LOOK_CONFIDENCE = 1 - PAIR_ERROR_RATE / len(PAIR_LOOKS)
"""One-sided, of one look."""
LEAST_PAIRS = 3
"""Whole pairs of a case: fewer decide nothing."""
ODD_PAIR = 0.02
"""Share that a pair is off from the median pair which is set aside: a process with other kernels is 5 % off."""
ODD_SPREADS = 10.0
"""Standard deviations of the other pairs that it is off besides: where all are noisy none is odd."""
ODD_PAIRS_SHARE = 1 / 3
"""Of all pairs, that are set aside at most. Where more are far off, there is no usual pair."""
ODD_EXCESS = 3
"""Set-aside pairs in which head was slower, beyond those in which it was faster, from which on it is not the same."""
MACHINE_CASES = 6
"""Cases that need no timing, which are timed nevertheless to try the machine."""
MACHINE_PAIRS = 2
"""Of each of them, and as many again of one that is blind."""
CONFIRMING_PAIRS = 6
"""Fresh pairs that must say again that a case is worse."""
CONFIRMING_CONFIDENCE = 0.99
"""Of these pairs."""

WORSE_CONFIDENCE = 0.99
"""One-sided, of `worse` and `better` since accepted runs."""
ONE_RUN_CONFIDENCE = 0.999
"""The same of the measurement that confirms it against a single accepted run, where no pairs tell code from machine. What is
odd about that run, or about the machine, is odd both times."""
SAME_CONFIDENCE = 0.95
"""One-sided, of `same`. It stops no merge, and what a machine adds by itself is nearly as large as the margin."""
ACCURACY_LOOKS = 3
"""Times that trainings are judged, at most. While it is not decided as many seeds are added as there were at first."""
NON_INFERIORITY_CONFIDENCE = 1 - 0.05 / ACCURACY_LOOKS
"""One-sided, of one look, that no more accuracy is lost than the tolerance. The looks share an error of one in twenty."""
FASTER_CONFIDENCE = 0.99
"""Two-sided, that a step is faster than another."""

TREND_PENALTY = 6.0
"""Times the logarithm of the number of runs that a change must lower the sum of squares by, in squares of the noise."""
TREND_LEAST_RUNS = 3
"""Runs before and after a change."""
TREND_LEAST_CHANGE = 0.005
"""Share of a figure from which on a change is worth a word."""
TREND_LEAST_NOISE = 1e-4
"""Share of a figure that it is always taken to differ by: counts repeat, and have no noise."""


def has_learnt(before: float, after: float, share: float) -> bool:
    """Whether a loss, which may be negative, has fallen by so much of it."""
    return after < before - share * abs(before)
