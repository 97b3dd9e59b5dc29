"""Makes saved runs baselines, that later runs are compared with."""

import argparse

from mpcore.commands.arguments import Commands, add_baselines, add_runs, baselines_to_make, policy_of, positive
from mpcore.commands.output import show, tell
from mpcore.store import KEEP


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = commands.add_parser("accept", help="make saved runs baselines, that later runs are compared with")
    add_runs(parser)
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why they are what is expected from now on")
    allow = "a case that failed, or is worse than what it joins, and is accepted nevertheless, by its id, KIND:ID or its test"
    allow += "; may be repeated"
    parser.add_argument("--allow-failure", action="append", default=[], metavar="CASE", help=allow)
    reset = (
        "a case, KIND:ID, or a pattern, whose older baselines count no more from these runs on; may be repeated. A case that "
        "is accepted though it is worse needs none. A pattern that fits none of these cases lets go of accepted ones that it "
        "fits: they are no longer measured"
    )
    parser.add_argument("--reset", action="append", default=[], metavar="CASES", help=reset)
    keep = f"baselines of one machine, the oldest are removed (default: {KEEP})"
    parser.add_argument("--keep", type=positive, default=KEEP, metavar="N", help=keep)
    add_baselines(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints what changes, and the files that are written and removed. Raises RunError; then nothing is written."""
    from mpcore.report.documents import changes_document
    from mpcore.store import accept, check

    folder, policy = baselines_to_make(options), policy_of(options)
    limits = {"allow_failures": options.allow_failure, "reset": options.reset, "keep": options.keep}
    candidates = check(options.runs, folder, options.reason, policy=policy, **limits)
    new, old = accept(candidates, folder, options.keep)  # before it is told, for nobody may read that to its end
    done = [*(f"accepted: {path}" for path in new), *(f"removed: {path}" for path in old)]
    try:
        for candidate in candidates:
            accepted = candidate.run.model_copy(update={"accepted": candidate.accepted})
            show(changes_document(accepted, candidate.baselines))
            print()
        print("\n".join(done), flush=True)
    except BrokenPipeError:  # nobody wants to know more
        raise
    except OSError:
        for line in done:
            tell(line)
        raise
    return 0
