"""Figures that nobody has measured are one sentence, at the file's door."""

import pytest

from mpcore.store import RunError, accepted, all_accepted, load

SPEED = {
    "kind": "speed", "blocks": {"steps": 1, "seconds": [1.0]}, "references": {}, "low_precision_flops_share": 0.9,
    "skipped_steps": 0, "flops_per_step": 10, "dropped_blocks": 0,
    **dict.fromkeys(
        (
            "eager", "peak_allocated_bytes", "peak_reserved_bytes", "pool_bytes", "loss_before", "loss_after", "loss_scale",
            "ceiling_flops", "profile", "gpu",
        )
    ),
}  # fmt: skip
TRAINING = {
    "seed": 0, "steps": 1, "train_seconds": 1.0, "evaluation_seconds": 1.0, "metrics": {"accuracy": 0.9}, "confusion": None,
    "steps_per_point": 1, "losses": [], "loss_scales": [], "skipped_steps": 0, "diverged": None,
}  # fmt: skip
QUALITY = {
    "kind": "accuracy", "weights": "random", "data": "embedded", "rows": {"train": 64, "test": 8}, "metric": "accuracy",
    "trainings": [TRAINING, TRAINING | {"seed": 1}],
}  # fmt: skip
ABOUT = ("case", "workload_version", "device", "batch_size", "unit")


@pytest.fixture
def refused(content, saved):
    """The sentence with which a run is refused that holds this record."""

    def refused(record):
        (result,) = content["mpcore"]["results"]
        result["record"] = record | {key: result["record"][key] for key in ABOUT}
        with pytest.raises(RunError) as caught:
            load(saved(content))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refused


@pytest.fixture
def taken(content, saved):
    def taken(record):
        (result,) = content["mpcore"]["results"]
        result["record"] = record | {key: result["record"][key] for key in ABOUT}
        return load(saved(content)).results[0].record

    return taken


def test_what_is_ordinary_is_taken(taken):
    assert taken(SPEED).blocks.step_seconds == 1.0
    assert taken(QUALITY).mean("accuracy") == 0.9
    assert taken(QUALITY | {"trainings": [TRAINING | {"metrics": {"accuracy": None}}]}).diverged is False


@pytest.mark.parametrize("seconds", [1e308, 5e-324, 90_000.0, 1e-10, 0.0, -1.0])
def test_what_is_no_time(refused, seconds):
    assert "blocks.seconds.0: Input should be" in refused(SPEED | {"blocks": {"steps": 1, "seconds": [seconds]}})


@pytest.mark.parametrize("steps", [10**400, 10**13, 0])
def test_what_is_no_number_of_steps(refused, steps):
    assert "blocks.steps: " in refused(SPEED | {"blocks": {"steps": steps, "seconds": [1.0]}})


@pytest.mark.parametrize("field", ["peak_allocated_bytes", "peak_reserved_bytes", "pool_bytes"])
def test_what_is_no_memory(refused, field):
    assert f"{field}: " in refused(SPEED | {field: 10**300})


@pytest.mark.parametrize(
    ("training", "sentence"),
    [
        ({"metrics": {"loss": 1.0}}, "training 1 has loss: expected 'accuracy' among them"),
        ({"metrics": {}}, "training 1 has no metrics: expected 'accuracy' among them"),
        ({"metrics": {"accuracy": 99.0}}, "accuracy of training 1 is 99: expected a share, at most 1"),
        ({"seed": 1}, "trainings from seeds 1, 1: expected each of them once"),
        ({"train_seconds": 1e300}, "train_seconds: Input should be less than"),
        ({"confusion": [[1, 2, 3], [1]]}, "the confusion matrix of training 1: expected as many columns as rows"),
        ({"confusion": []}, "the confusion matrix of training 1: expected as many columns as rows"),
    ],
)
def test_trainings_that_cannot_be_compared(refused, training, sentence):
    assert sentence in refused(QUALITY | {"trainings": [TRAINING | training, TRAINING | {"seed": 1}]})


@pytest.mark.parametrize(("rows", "missing"), [({}, "test and to train"), ({"train": 8}, "test")])
def test_rows_are_those_of_both_splits(refused, rows, missing):
    assert f"rows: expected those to {missing} among them" in refused(QUALITY | {"rows": rows})


def test_a_figure_of_which_lower_is_better_is_above_zero(refused):
    record = QUALITY | {"lower_is_better": True, "trainings": [TRAINING | {"metrics": {"accuracy": 0.0}}]}
    assert "expected a value above 0" in refused(record)


@pytest.mark.parametrize("name", ["///", "", "Published", "published/"])
def test_a_machine_whose_name_names_no_folder(on_gpu, saved, name):
    on_gpu["mpcore"]["machine"]["hardware"]["name"] = name
    with pytest.raises(RunError, match=r"expected one that can name a folder, not '' or 'published'"):
        load(saved(on_gpu))


@pytest.mark.parametrize(("field", "value"), [("name", "ü" * 150), ("label", "../.."), ("label", "")])
def test_a_machine_that_would_be_another_folder(on_gpu, saved, field, value):
    on_gpu["mpcore"]["machine"]["hardware"][field] = value
    if value:
        with pytest.raises(RunError, match=r"expected what can name a folder: letters, digits and hyphens, 200 bytes at most"):
            load(saved(on_gpu))
    else:
        assert load(saved(on_gpu)).machine.hardware.key == "nvidia-h200"


def test_a_link_that_leads_to_itself_is_one_sentence(folder, stored, content):
    stored(content)
    (folder / "nvidia-h200").symlink_to("nvidia-h200")
    with pytest.raises(RunError, match=r"cannot read .*nvidia-h200: Too many levels of symbolic links"):
        all_accepted(folder)


def test_of_two_with_one_number_the_later_accepted_is_the_last(folder, stored, content, hardware):
    """Two branches that were merged. The alphabet of commits decides nothing."""
    for name, day, accepted_on in (("0001_b.json", 1, 3), ("0001_a.json", 2, 4), ("0002_a.json", 3, 1)):
        own = {
            "datetime": f"2026-01-0{day}T00:00:00+00:00",
            "accepted": {"reason": "x", "datetime": f"2026-02-0{accepted_on}T00:00:00+00:00"},
        }
        stored(content | {"mpcore": content["mpcore"] | own}, name)
    assert [run.path.rpartition("/")[2] for run in accepted(folder, hardware)] == ["0001_b.json", "0001_a.json", "0002_a.json"]
