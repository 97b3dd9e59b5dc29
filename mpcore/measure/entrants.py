"""Who is in a race: the product of trainers and executions, less what is unsupported."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

import torch

from mpcore.execution import Compile, Eager, executions
from mpcore.matrix import cases
from mpcore.precision import precisions
from mpcore.records import OWN_TRAINER, Case, Selection

OURS = {"cuda": ("graph", "compile"), "cpu": (Eager.name,)}
"""How ours are run where nothing else is said, by the type of the device."""
COMPILED = {"cuda": ("inductor", "reduce-overhead"), "cpu": ()}
"""How plain PyTorch is run then, besides eager: what Fabric and Accelerate compile is the same model once more. The same of
another trainer than mpcore whose steps are ours."""
PLAIN = "plain"


@dataclass(frozen=True)
class Entrants:
    """The cases to time, and by the id of a case why there is no such step."""

    ours: list[Case]
    theirs: list[Case]
    missing: dict[str, str]

    @property
    def asked(self) -> set[str]:
        """The ids of all."""
        return {case.id for case in (*self.ours, *self.theirs)} | self.missing.keys()


def entrants(case: Case, modes: Sequence[str], trainers: Sequence[str], named: Sequence[str], device: torch.device) -> Entrants:
    """Ours are by the trainer of `case`, in `modes`; theirs by the other `trainers`, in its mode. named: executions of all of
    them; without any each has its usual ones."""
    usual: Sequence[str] = OURS[device.type] if case.trainer == OWN_TRAINER else (Eager.name, *COMPILED[device.type])
    ours = _product(case, case.trainer, modes, named or usual, device)
    if not named:
        ours = {each: reason for each, reason in ours.items() if reason or _usual(each)}
    theirs: dict[Case, str | None] = {}
    for trainer in (name for name in trainers if name != case.trainer):
        usual = (Eager.name, *(COMPILED[device.type] if trainer == PLAIN else ()))
        theirs |= _product(case, trainer, [case.precision], named or usual, device)
    missing = {each.id: reason for each, reason in (ours | theirs).items() if reason}
    return Entrants(_in_order(ours, missing), _in_order(theirs, missing), missing)


def _usual(case: Case) -> bool:
    """A mode that is not compiled by itself is not compiled here."""
    return case.execution != Compile.name or precisions[case.precision].compiled


def _product(
    case: Case, trainer: str, modes: Sequence[str], named: Sequence[str], device: torch.device
) -> dict[Case, str | None]:
    """Each case with why there is no such step, None where there is one."""
    selection = Selection(
        trainers=(trainer,),
        precisions=tuple(modes),
        executions=tuple(named),
        size=case.size,
        batch_sizes=() if case.batch_size is None else (case.batch_size,),
        keep_fp32=case.keep_fp32,
    )
    return dict(cases(selection, device, [case.workload]))


def _in_order(found: Iterable[Case], missing: Container[str]) -> list[Case]:
    """What is compiled comes last: to compile another model makes it forget what it has compiled before."""
    order = executions.names()
    return sorted((case for case in found if case.id not in missing), key=lambda case: order.index(case.execution))
