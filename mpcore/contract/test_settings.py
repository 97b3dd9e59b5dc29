"""What a mode sets for the whole process holds while its step runs, and no longer."""

from typing import Any

import pytest
import torch

from mpcore.contract.harness import Subject, process_settings, tf32_settings


def test_tf32_is_on_only_where_the_mode_says_so_and_put_back(subject: Subject) -> None:
    step = subject.step()
    seen: list[tuple[bool, bool]] = []

    def look(*_: Any) -> None:
        cudnn: Any = torch.backends.cudnn
        seen.append((torch.backends.cuda.matmul.fp32_precision == "tf32", cudnn.conv.fp32_precision == "tf32"))

    step.loss_module.register_forward_pre_hook(look)
    for found in (("medium", True), ("highest", False)):
        with process_settings(*found):
            step(subject.batch())
            assert tf32_settings() == found
    assert len(seen) >= 2
    assert set(seen) == {(subject.mode.tf32, subject.mode.tf32)}


def test_settings_are_put_back_after_an_exception(subject: Subject) -> None:
    step = subject.step()

    def explode(*_: Any) -> None:
        raise RuntimeError("in the middle of a step")

    step.loss_module.register_forward_pre_hook(explode)
    with process_settings("medium", True):
        with pytest.raises(RuntimeError, match="in the middle of a step"):
            step(subject.batch())
        assert tf32_settings() == ("medium", True)
