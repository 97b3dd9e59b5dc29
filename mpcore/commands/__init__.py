"""One file a command. Each has `add(commands)`, which adds its parser, and `run(options)`, which returns the exit code.

A command imports what it needs once it runs, so that all answer at once what they are for.
"""

from mpcore.commands import (
    ab,
    accept,
    calibrate,
    compare,
    convert,
    doctor,
    judge,
    kernels,
    published,
    report,
    scale,
    show,
    theory,
    trend,
)

COMMANDS = (doctor, report, compare, published, kernels, accept, show, judge, trend, convert, ab, scale, calibrate, theory)
"""In the order in which help lists them."""
