"""Trainings of other libraries as own steps: the same updates as theirs, and what cannot be followed is refused by name."""

import itertools
import tempfile

import pytest
import torch
from torch import nn

from mpcore.adapters import LightningStep, LoopStep, TrainerStep
from mpcore.adapters.lightning import REFUSED
from mpcore.execution.graph import CaptureError
from mpcore.precision import Inapplicable
from mpcore.training.script import ScriptStep
from mpcore.workloads import WorkloadError

CPU = torch.device("cpu")
STEPS = 6
ROWS = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))


def step_of(cls, precision="fp32", device=CPU, execution="eager"):
    return ScriptStep(cls("tiny"), precision, device, execution=execution)


def trained(step, count=STEPS):
    for batch in itertools.islice(step.endless_batches(), count):
        loss = step(batch)
    assert loss.isfinite()
    return [weight.detach().clone() for weight in step.weights().values()]


def same(some, others):
    return all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(some, others, strict=True))


def stands_still(step):
    before = [weight.detach().clone() for weight in step.weights().values()]
    step.set_rate(0.0)
    for batch in step.batches:
        step(batch)
    return all(torch.equal(a, b) for a, b in zip(before, step.weights().values(), strict=True))


class Loop(LoopStep):
    name, unit, units_per_batch, precisions = "loop", "rows", 8, ("fp32",)

    def loop(self, precision, device, batches):
        self.model = nn.Linear(4, 1)
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=0.1)
        for batch in batches:
            loss = self.model(batch).square().mean()
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
            yield loss

    def batches(self, device):
        return ROWS.split(8)

    def optimisers(self):
        return self.optimiser

    def parameters(self):
        return self.model


def test_a_loop_that_yields_its_losses_is_a_step():
    step = step_of(Loop)
    losses = [step(batch).item() for batch in itertools.islice(step.endless_batches(), 30)]
    assert losses[-1] < 0.5 * losses[0]
    assert stands_still(step)


def test_a_loop_gives_a_loss_for_each_batch():
    class Ends(Loop):
        def loop(self, precision, device, batches):
            yield from itertools.islice(super().loop(precision, device, batches), 2)

    class Greedy(Loop):
        def loop(self, precision, device, batches):
            return super().loop(precision, device, (next(batches) + next(batches) for _ in itertools.count()))

    class Own(Loop):
        def loop(self, precision, device, batches):
            return super().loop(precision, device, itertools.cycle(self.batches(device)))

    with pytest.raises(
        WorkloadError, match=r"loop\(\) yielded a loss and took none of `batches`: expected it to train on them"
    ):
        step_of(Own)
    step = step_of(Ends)
    step(step.batches[0])
    with pytest.raises(WorkloadError, match=r"loop: loop\(\) came to its end: expected a loss for each of the batches"):
        step(step.batches[0])
    with pytest.raises(WorkloadError, match=r"loop\(\) took more than 1 of its batches .*: expected batches_per_step in its"):
        step_of(Greedy)
    Greedy.batches_per_step = 3
    with pytest.raises(WorkloadError, match=r"yielded a loss after 2 of 3 batches: expected batches_per_step to say how many"):
        step_of(Greedy)


class Prefetches(Loop):
    """As nanoGPT does: the next batch is got while the model computes."""

    def loop(self, precision, device, batches):
        self.seen = []

        def prefetched():
            batch = next(batches)
            while True:
                current, batch = batch, next(batches)
                self.seen.append(current)
                yield current

        return super().loop(precision, device, prefetched())


def test_a_loop_may_take_its_next_batch_before_it_yields():
    step = step_of(Prefetches)
    given = list(itertools.islice(step.endless_batches(), 3))
    losses = [step(batch) for batch in given]
    assert all(loss.isfinite() for loss in losses)
    assert all(torch.equal(seen, was) for seen, (was,) in zip(step.own.seen[-2:], given, strict=False))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_graph_of_it_would_go_on_with_one_batch():
    class OnTheDevice(Prefetches):
        def loop(self, precision, device, batches):
            self.model = nn.Linear(4, 1, device=device)
            rate = torch.tensor(0.1, device=device)
            self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=rate, capturable=True)
            batch = next(batches)
            while True:
                current, batch = batch, next(batches)
                loss = self.model(current).square().mean()
                loss.backward()
                self.optimiser.step()
                self.optimiser.zero_grad()
                yield loss

        def batches(self, device):
            return [rows.to(device) for rows in ROWS.split(8)]

    step = step_of(OnTheDevice, device=torch.device("cuda"), execution="graph")
    with pytest.raises(CaptureError, match=r"loop\(\) takes a batch before it yields, and a graph would go on with that one"):
        trained(step, 8)


def test_a_loop_that_yields_nothing_is_told_so():
    class Unchanged(Loop):
        def loop(self, precision, device, batches):
            self.model = nn.Linear(4, 1)
            for batch in batches:
                self.model(batch).square().mean().backward()

    class Listed(Loop):
        def loop(self, precision, device, batches):
            return []

    expected = r"expected a generator, with yield loss where a step is done"
    with pytest.raises(WorkloadError, match=rf"loop: loop\(\) goes through its batches and yields nothing: {expected}"):
        step_of(Unchanged)
    with pytest.raises(WorkloadError, match=rf"loop: loop\(\) returned list \[\]: {expected}"):
        step_of(Listed)


def test_a_loop_that_has_too_few_batches_for_a_step_is_told_so():
    class Few(Loop):
        batches_per_step = len(ROWS)

    with pytest.raises(WorkloadError, match=rf"batches\(\) gave too few for a step: expected {len(ROWS)} or more"):
        step_of(Few)


def test_a_loop_that_accumulates_takes_several_batches_for_a_step():
    class Accumulates(Loop):
        batches_per_step = 2

        def loop(self, precision, device, batches):
            self.seen = []
            pairs = zip(batches, batches, strict=False)
            return super().loop(precision, device, (self.seen.append(pair) or torch.cat(pair) for pair in pairs))

    step = step_of(Accumulates)
    for batch in itertools.islice(step.endless_batches(), 3):
        step(batch)
    expected = [torch.cat(pair) for pair in zip(*[iter(ROWS.split(8))] * 2, strict=True)]
    assert [torch.equal(torch.cat(pair), rows) for pair, rows in zip(step.own.seen[1:], expected, strict=False)] == [True] * 3


@pytest.fixture(scope="module")
def lightning():
    return pytest.importorskip("lightning")


@pytest.fixture
def module_of(lightning):
    """module_of(**methods): a class of LightningModules."""

    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def training_step(self, batch, batch_idx):
            loss = self.layer(batch).square().mean() + 0.0 * batch_idx
            self.log("loss", loss)
            return {"loss": loss}

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "frequency": 2}}

    return lambda **methods: type("Net", (Net,), methods)


def lightning_step(module, **options):
    def loader(self):
        return torch.utils.data.DataLoader(ROWS, batch_size=8)

    attributes = {"name": "net", "unit": "rows", "units_per_batch": 8, "module": lambda self: module(), "loader": loader}
    return type("NetStep", (LightningStep,), attributes | options)


@pytest.fixture
def fitted(lightning, tmp_path):
    """fitted(module): it, once Lightning's Trainer has made `steps` of it."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}

    def fit(module, steps=3, **options):
        trainer = lightning.Trainer(
            accelerator="cpu", devices=1, max_steps=steps, default_root_dir=tmp_path, **quiet, **options
        )
        trainer.fit(module, torch.utils.data.DataLoader(ROWS, batch_size=8))
        return module

    return fit


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("clip", [None, 0.01])
def test_a_lightning_module_makes_the_updates_of_its_trainer(module_of, fitted, parts, clip):
    step = step_of(lightning_step(module_of(), accumulate_grad_batches=parts, gradient_clip_val=clip))
    theirs = module_of()()
    theirs.load_state_dict(step.model.state_dict())
    fitted(theirs, accumulate_grad_batches=parts, gradient_clip_val=clip)
    assert same(trained(step, 3), list(theirs.parameters()))
    assert stands_still(step)


def test_a_training_step_need_not_take_the_number_of_its_batch(module_of, fitted):
    for training_step in (
        lambda self, batch: self.layer(batch).square().mean(),
        lambda self, batch, number: self.layer(batch).square().mean() * (1 + number),
        lambda self, *given: self.layer(given[0]).square().mean() * len(given),
        lambda self, rows, batch_idx=None: self.layer(rows).square().mean() * (1 + batch_idx),
    ):
        step = step_of(lightning_step(module := module_of(training_step=training_step)))
        theirs = module()
        theirs.load_state_dict(step.model.state_dict())
        assert same(trained(step, 3), list(fitted(theirs).parameters()))


BEFORE = (
    "prepare_data",
    "setup",
    "configure_model",
    "configure_optimizers",
    "on_fit_start",
    "on_train_start",
    "on_train_epoch_start",
)


def test_what_comes_before_the_first_step_is_called_in_the_order_of_the_trainer(module_of, fitted):
    plain = module_of()

    def noting(hook):
        def note(self, **options):
            self.called.append((hook, self.device, options))
            return getattr(plain, hook)(self, **options)

        return note

    module = module_of(
        **{hook: noting(hook) for hook in BEFORE}, called=property(lambda self: self.__dict__.setdefault("_called", []))
    )
    called = step_of(lightning_step(module)).own._module.called
    assert [hook for hook, *_ in called] == list(BEFORE)
    assert called == fitted(module()).called


@pytest.mark.parametrize("parts", [1, 2])
def test_steps_and_epochs_are_counted_as_the_trainer_counts_them(lightning, module_of, fitted, parts):
    """Where a module asks itself, where one inside it does, and where it asks its Trainer."""
    counts = []

    class Warm(lightning.LightningModule):
        def forward(self, x):
            counts.append((self.global_step, self.current_epoch, self.trainer.global_step, self.trainer.current_epoch))
            return x * min(1.0, (1 + self.global_step) / 10)

    def training_step(self, batch, number):
        counts.append((self.global_step, self.current_epoch, number))
        return self.layer(self.warm(batch)).square().mean()

    def on_train_epoch_start(self):
        counts.append(("epoch", self.global_step, self.current_epoch))

    def made():
        net = module_of(training_step=training_step, on_train_epoch_start=on_train_epoch_start)()
        net.warm = Warm()
        return net

    step, theirs = step_of(lightning_step(made, accumulate_grad_batches=parts)), made()
    theirs.load_state_dict(step.model.state_dict())
    ours, of_ours = trained(step, 18 // parts), counts[:]
    counts.clear()
    assert same(ours, list(fitted(theirs, 18 // parts, accumulate_grad_batches=parts).parameters()))
    assert of_ours == counts
    assert counts[-1][:2] == (18 // parts - 1, 2)


@pytest.mark.parametrize("count", ["global_step", "current_epoch"])
def test_a_count_of_the_host_is_refused_where_a_graph_would_freeze_it(module_of, monkeypatch, count):
    """Here where it is read: torch on a CPU captures nothing."""

    def training_step(self, batch, batch_idx):
        return self.layer(batch).mean() * (1 + getattr(self, count))

    step = step_of(lightning_step(module_of(training_step=training_step)))
    step(step.batches[0])
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(WorkloadError, match=f"it reads {count} on the host, where a graph would freeze it .*test_adapters.py"):
        step(step.batches[0])


def test_a_backbone_that_a_hook_freezes_is_not_trained(module_of):
    step = step_of(lightning_step(module_of(on_train_epoch_start=lambda self: self.layer.bias.requires_grad_(False))))
    before = step.model.layer.bias.clone()
    trained(step, 3)
    assert torch.equal(step.model.layer.bias, before)
    assert list(step.weights()) == ["layer.weight"]


def test_every_hook_of_lightning_is_called_or_refused_or_changes_no_step(lightning):
    from lightning.pytorch.core import hooks

    evaluation = ("validation", "test", "predict", "val_")
    after = {"on_train_epoch_end", "on_train_end", "on_fit_end", "teardown", "on_save_checkpoint", "on_load_checkpoint"}
    listed = {name for kind in (hooks.ModelHooks, hooks.DataHooks, hooks.CheckpointHooks) for name in vars(kind)}
    listed = {name for name in listed if not name.startswith("__")} | set(BEFORE) | set(REFUSED)
    known = {*BEFORE, *REFUSED, *after, "train_dataloader"}
    assert {name for name in listed - known if not any(kind in name for kind in evaluation)} == set()
    assert [hook for hook in REFUSED if not hasattr(lightning.LightningModule, hook)] == []


def test_what_lightnings_trainer_alone_calls_is_refused_by_name(module_of):
    for hook in REFUSED:
        with pytest.raises(WorkloadError, match=rf"net: Net has a {hook}\(\) of its own, .* write the step .* as an OwnStep"):
            step_of(lightning_step(module_of(**{hook: lambda self, *_, **__: None})))
    with pytest.raises(WorkloadError, match=r"training_step\(\) of Net asks for the loader itself: write the step"):
        step_of(lightning_step(module_of(training_step=lambda self, dataloader_iter: None)))
    manual = property(lambda self: False, lambda self, value: None)
    with pytest.raises(WorkloadError, match="net: Net optimises manually, which Fabric cannot follow: write the step"):
        step_of(lightning_step(module_of(automatic_optimization=manual)))
    with pytest.raises(WorkloadError, match=r"net: module\(\) returned a Linear: expected a LightningModule"):
        step_of(lightning_step(lambda: nn.Linear(1, 1)))


def configured(optimisers):
    return {"configure_optimizers": lambda self: optimisers(torch.optim.SGD(self.parameters(), lr=0.1))}


def test_what_configure_optimizers_returns_is_understood_or_refused(module_of):
    schedule = torch.optim.lr_scheduler.StepLR
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    for understood in (lambda o: o, lambda o: [o], lambda o: ([o], [schedule(o, 1)]), lambda o: [{"optimizer": o}]):
        trained(step_of(lightning_step(module_of(**configured(understood)))), 2)
    with pytest.raises(WorkloadError, match=r"configure_optimizers\(\) returned 2 optimisers: expected one"):
        step_of(lightning_step(module_of(**configured(lambda o: [o, o]))))
    with pytest.raises(WorkloadError, match="ReduceLROnPlateau waits for a validation"):
        step_of(lightning_step(module_of(**configured(lambda o: {"optimizer": o, "lr_scheduler": plateau(o)}))))


def test_what_only_a_trainer_knows_is_told_with_what_to_do(module_of):
    asks = {"configure_optimizers": lambda self: self.trainer.estimated_stepping_batches}
    with pytest.raises(WorkloadError, match=r"asks self.trainer \(test_adapters.py, line \d+: .* for Fabric has no Trainer"):
        step_of(lightning_step(module_of(**asks)))
    with pytest.raises(
        WorkloadError, match=r"on_train_start\(\) asks self.trainer \(test_adapters.py, line \d+: .* for Fabric has"
    ):
        step_of(lightning_step(module_of(on_train_start=lambda self: self.trainer.datamodule)))
    skips = step_of(lightning_step(module_of(training_step=lambda self, batch, batch_idx: None)))
    with pytest.raises(WorkloadError, match=r"training_step\(\) returned NoneType None: expected a loss, for a step that its"):
        skips(skips.batches[0])


def test_a_schedule_by_epochs_goes_on_after_each(module_of):
    def by_epoch(optimiser):
        return [optimiser], [torch.optim.lr_scheduler.StepLR(optimiser, 1, gamma=0.5)]

    step = step_of(lightning_step(module_of(**configured(by_epoch))))
    rates = []
    for batch in itertools.islice(step.endless_batches(), 17):
        step(batch)
        rates.append(step.optimisers[0].param_groups[0]["lr"])
    assert rates == [0.1] * 7 + [0.05] * 8 + [0.025] * 2


class Trainable(TrainerStep):
    """Two parts of a batch for each update, a schedule, clipping."""

    name, unit, units_per_batch, precisions = "trainable", "sequences", 8, ("fp32", "bf16-amp", "fp16-amp")

    def trainer(self, **arguments):
        from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

        size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 20}
        config = BertConfig(num_labels=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **size)
        arguments = TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            learning_rate=1e-2,
            warmup_steps=2,
            max_steps=STEPS,
            max_grad_norm=0.1,
            **arguments,
        )
        generator = torch.Generator().manual_seed(0)
        rows = [{"input_ids": torch.randint(20, (5,), generator=generator), "labels": i % 2} for i in range(80)]
        return Trainer(model=BertForSequenceClassification(config), args=arguments, train_dataset=rows)


def test_a_trainer_of_transformers_makes_its_own_updates():
    pytest.importorskip("accelerate")
    step = step_of(Trainable)
    theirs = Trainable("tiny").trainer(
        use_cpu=True, report_to="none", logging_strategy="no", save_strategy="no", disable_tqdm=True
    )
    theirs.model.load_state_dict(step.model.state_dict())
    batches = [part for batch in itertools.islice(step.endless_batches(), STEPS) for part in batch]
    theirs.get_train_dataloader = lambda: torch.utils.data.DataLoader(batches, batch_size=None)
    ours = trained(step)
    theirs.train()
    assert same(ours, [p for p in theirs.model.parameters() if p.requires_grad])
    assert stands_still(step)
    assert len(step.batches[0]) == 2


def test_a_trainer_computes_in_what_it_is_told_beside_another():
    pytest.importorskip("accelerate")
    half = step_of(Trainable, "bf16-amp")
    whole = step_of(Trainable)
    kinds = []
    for step in (half, whole, half):
        hook = step.model.classifier.register_forward_hook(lambda module, inputs, output: kinds.append(output.dtype))
        step(step.batches[0])
        hook.remove()
    assert kinds == [torch.bfloat16] * 2 + [torch.float32] * 2 + [torch.bfloat16] * 2


def test_a_mode_that_a_library_would_replace_in_silence_is_inapplicable(lightning, module_of):
    with pytest.raises(Inapplicable, match="Accelerate computes in FP32 on a CPU"):
        step_of(Trainable, "fp16-amp")
    with pytest.raises(Inapplicable, match="Fabric computes in BF16 on a CPU"):
        step_of(lightning_step(module_of()), "fp16-amp")


def test_a_trainer_that_would_spread_its_step_is_told_what_to_do():
    pytest.importorskip("accelerate")

    class SeesTwo(Trainable):
        name = "sees-two"

        def trainer(self, **arguments):
            trainer = super().trainer(**arguments)
            trainer.args._n_gpu = 2
            return trainer

    with pytest.raises(WorkloadError, match="over all 2 GPUs that it sees: expected one of them in CUDA_VISIBLE_DEVICES"):
        step_of(SeesTwo)
