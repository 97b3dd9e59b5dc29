"""One of the ranks that cases are measured on. torchrun starts it, with the line to whoever has started torchrun.

Rank 0 takes orders from its line and passes them on. Until the first case is ordered, ranks import torch and mpcore and touch
no device: so one launch gets ready while another measures.

All ranks measure the case, and rank 0 says what came of it. A rank in which a case fails says so at once, and waits a little
for the others: where they fail as well the ranks go on to the next case. Where they do not, they may wait for it in a
collective, and it ends; torchrun ends the others then.
"""

import gc
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Protocol

from mpcore.parallel.line import Line
from mpcore.records import Failure, Ready, Record, Request, Response, Selection
from mpcore.selection import SelectionError

if TYPE_CHECKING:
    import torch

GRACE_SECONDS = 5.0
"""In which the others fail, too, if they do."""


class Orders(Protocol):
    """Where orders come from and responses go: a line, or what stands in its place."""

    def order(self) -> str: ...

    def taken(self, order: str) -> None: ...

    def say(self, record: Record) -> None: ...

    def fault(self, sentence: str) -> None: ...


def main(device: str) -> None:
    """Serves requests until there are no more. device: "cpu" or "cuda", "" for cuda where there is one."""
    serve(Line(int(os.environ["RANK"])), device)


def serve(line: Orders, name: str) -> None:
    """On each rank, until there are no more orders. name: of the device, as that of `main`. What is not foreseen ends the rank
    at once: in order it would wait for the others, and they for it."""
    try:
        _serve(line, name)
    except BaseException:
        traceback.print_exc()  # of which whoever waits for a response reads the end
        _exit()


def _serve(line: Orders, name: str) -> None:
    from mpcore.device import agreement  # imports torch: not before the line is there
    from mpcore.parallel.pace import Pace
    from mpcore.runner.responses import Responder

    said = _first(line, "selection")
    line.taken(said)
    selection = Selection.model_validate_json(said)
    order = _first(line, "order")  # before something is asked the device is another launch's, which may be measuring
    device = device_of_rank(name)
    with agreement.process_group(device):  # which files of --mp-load may ask for
        try:
            progress = Pace(line.say) if agreement.rank() == 0 else None
            responder = Responder(selection.model_copy(update={"device": str(device)}), progress)
        except SelectionError as error:
            _respond(line, Failure(case=None, sentence=str(error)))
            return
        if not _respond(line, Ready()):  # others have left
            return
        line.taken(order)
        while order:
            _respond(line, responder.response(Request.model_validate_json(order)))
            order = _passed_on(line)
        del responder
        gc.collect()  # with all its graphs, for which the group would wait


def device_of_rank(name: str) -> "torch.device":
    """Its own, which becomes the current one. Raises SelectionError where this host has fewer GPUs than ranks."""
    import torch

    from mpcore.device.agreement import local_rank, local_ranks
    from mpcore.device.determinism import prepare_determinism
    from mpcore.device.machine import default_device

    device = torch.device(name) if name else default_device()
    if device.type != "cuda":
        return device
    if local_ranks() > (found := torch.cuda.device_count()):
        raise SelectionError(
            f"torchrun has started {local_ranks()} ranks on a host with {found} GPUs: expected no more of them"
        )
    torch.cuda.set_device(local_rank())
    own = torch.device("cuda", local_rank())
    prepare_determinism(own)
    return own


def _first(line: Orders, about: str) -> str:
    """An order that rank 0 is given before ranks are a group."""
    from mpcore.device import agreement

    return agreement.handed_on(about, line.order() if os.environ["RANK"] == "0" else "")


def _passed_on(line: Orders) -> str:
    """The next order; "" after the last."""
    from mpcore.device import agreement

    order = agreement.broadcast(line.order() if agreement.rank() == 0 else "")
    line.taken(order)
    return order


def _respond(line: Orders, response: Response) -> bool:
    """Whether none has failed, once all ranks have come here. One that has failed where others have not is the response."""
    from mpcore.device import agreement

    failure = response if isinstance(response, Failure) else None
    patience = threading.Timer(GRACE_SECONDS, _exit)
    if failure is not None:
        line.fault(failure.sentence)
        patience.start()
        _finish()
    agreement.meet()
    patience.cancel()
    failures = {rank: each for rank, each in enumerate(agreement.gathered(failure)) if each is not None}
    if agreement.rank() == 0:
        line.say(_together(failures) if failures else response)
    return not failures


def _finish() -> None:
    """What the device was given before the failure. A collective that other ranks never came to would meet one of the next
    case: this rank waits for it here, and its patience ends it."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _together(failures: dict[int, Failure]) -> Failure:
    """The first that is no skip and no echo of another rank's."""
    from mpcore.device.agreement import ANOTHER_RANK

    echo = {rank for rank, failure in failures.items() if ANOTHER_RANK in failure.sentence}
    rank, failure = min(failures.items(), key=lambda each: (each[0] in echo, each[1].skipped, each[0]))
    return failure if rank == 0 else failure.model_copy(update={"sentence": f"rank {rank}: {failure.sentence}"})


def _exit() -> None:
    """At once: what is left of a group may wait for others, and torchrun ends those."""
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
