"""Counts of a step are stored short and read back whole."""

import random
from collections import Counter

import pytest

from mpcore.records import Operation, Work
from mpcore.records.work import compressed, expanded

MM = Operation("mm", "bfloat16", "8x8 8x8", "", "forward")


def of(modules, count=1, op=MM):
    return {op._replace(module=module): count for module in modules}


def modules(counts):
    return [Operation.parsed(text).module for text in compressed(counts)]


@pytest.mark.parametrize(
    ("names", "stored"),
    [
        pytest.param(["layer.0", "layer.1", "layer.2"], ["layer.[0-2]"], id="row"),
        pytest.param(["layer.0.out", "layer.1.out"], ["layer.[0-1].out"], id="inner"),
        pytest.param(["0", "1"], ["[0-1]"], id="first"),
        pytest.param(["layer.0", "layer.2", "layer.3"], ["layer.0", "layer.[2-3]"], id="gap"),
        pytest.param(["layer.9", "layer.10", "layer.11"], ["layer.[9-11]"], id="digits"),
        pytest.param(["a.0.b.0", "a.0.b.1", "a.1.b.0", "a.1.b.1"], ["a.[0-1].b.[0-1]"], id="two-numbers"),
        pytest.param(["a.0.0", "a.0.1", "a.1.0"], ["a.0.1", "a.[0-1].0"], id="not-all-pairs"),
        pytest.param(["a.0", "b.1"], ["a.0", "b.1"], id="another-name"),
        pytest.param(["", "0"], ["", "0"], id="no-module"),
        pytest.param(["layer.00", "layer.01"], ["layer.00", "layer.01"], id="names-of-digits"),
        pytest.param(["layer.0", "layer.00", "layer.1"], ["layer.00", "layer.[0-1]"], id="both"),
        pytest.param(["layer1", "layer2"], ["layer1", "layer2"], id="number-in-a-name"),
        pytest.param(["layer.٣", "layer.4"], ["layer.4", "layer.٣"], id="other-digits"),
        pytest.param(["heads.{user}", "heads.a | b"], ["heads.a | b", "heads.{user}"], id="odd-names"),
    ],
)
def test_modules_that_differ_by_a_number_stand_together(names, stored):
    counts = of(names)
    assert modules(counts) == stored
    assert expanded(compressed(counts)) == counts


def test_another_count_or_phase_or_shape_stands_alone():
    counts = of(["layer.0", "layer.1"]) | of(["layer.2"], count=2) | of(["layer.3"], op=MM._replace(phase="backward"))
    assert sorted(modules(counts)) == ["layer.2", "layer.3", "layer.[0-1]"]
    assert expanded(compressed(counts)) == counts


def test_nothing_is_lost_of_counts_of_all_kinds():
    generator = random.Random(0)
    for _ in range(200):
        paths = [
            ".".join(generator.choices(["0", "1", "2", "10", "a", "b", "01"], k=generator.randint(0, 4))) for _ in range(40)
        ]
        counts = {
            MM._replace(module=path, shapes=generator.choice(["", "8x8", "-"])): generator.randint(1, 2) for path in paths
        }
        assert expanded(compressed(counts)) == counts


def test_the_order_in_which_operations_were_counted_says_nothing():
    counts = of(["layer.2", "layer.0", "other", "layer.1"])
    assert list(compressed(counts).items()) == list(compressed(dict(reversed(counts.items()))).items())


def test_an_operation_is_read_back_from_its_text():
    odd = Operation("randn", "float32", "", "heads.a | b", "forward")
    for op in (MM, odd, Operation("add_", "-", "- -", "", "update")):
        assert Operation.parsed(op.text) == op


@pytest.mark.parametrize("text", ["", "mm", "mm | float32 | 8x8 | forward"])
def test_what_is_no_text_of_an_operation_is_refused(text):
    with pytest.raises(ValueError, match=r"is no operation: expected name \| dtype \| shapes \| module \| phase"):
        Operation.parsed(text)


def work(**changes):
    fields = {
        "case": {"workload": "dots", "precision": "fp32", "size": "tiny"},
        "workload_version": 1,
        "device": "cpu",
        "batch_size": 32,
        "unit": "vectors",
        "software": {"torch": "2.11.0"},
        "operations": compressed(of(["layer.0", "layer.1"], count=3)),
        "flops_by_dtype": {"float32": 2},
        "casts": 0,
        "cast_bytes": 0,
        "saved_bytes": 0,
        "synchronisations": (),
        "parameter_bytes": 1,
        "gradient_bytes": 2,
        "optimiser_bytes": 4,
    }
    return Work.model_validate(fields | changes)


def test_a_record_gives_out_each_module_by_itself():
    found = work()
    assert found.counts == Counter(of(["layer.0", "layer.1"], count=3))
    assert Work.model_validate_json(found.model_dump_json()) == found
    assert (found.launches, found.state_bytes) == (None, 7)
    assert work(kernels={"a": 2, "b": 3}).launches == 5


def test_other_software_counts_on_other_terms():
    assert work().terms != work(software={"torch": "2.12.0"}).terms
    assert work().terms == work(casts=1).terms
