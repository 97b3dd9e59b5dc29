import json
import math
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.activations import NewGELUActivation

from mpcore.data import DataError, Source
from mpcore.data.generated.stories import stories
from mpcore.data.vocabulary import byte_level, size, word_level
from mpcore.device.flops import FlopCount
from mpcore.precision import precisions
from mpcore.training.evaluation import evaluate
from mpcore.training.loop import fit
from mpcore.training.step import TrainStep
from mpcore.workloads.bert_imdb import BertImdb
from mpcore.workloads.checked import dummy_score
from mpcore.workloads.gpt2_text import Gpt2Text
from mpcore.workloads.next_token import WithLoss

pytestmark = pytest.mark.usefixtures("datasets_cache")

STORIES = "".join(stories(6000, 0))


@pytest.fixture(scope="module")
def workload():
    return Gpt2Text("tiny")


@pytest.fixture(scope="module")
def splits(workload):
    return {name: workload.split(name, torch.device("cpu")) for name in ("train", "test")}


@pytest.fixture(scope="module")
def batch(splits):
    return next(splits["test"].batches(8))


@pytest.fixture(scope="module")
def model(workload):
    torch.manual_seed(0)
    return workload.build_model()


@pytest.fixture
def saved(tmp_path, workload, model):
    """The folder of a checkpoint of the tiny model."""
    torch.manual_seed(0)
    GPT2LMHeadModel(model.config).save_pretrained(tmp_path / "saved")
    PreTrainedTokenizerFast(tokenizer_object=workload.tokeniser).save_pretrained(tmp_path / "saved")
    return str(tmp_path / "saved")


@pytest.fixture
def folder(tmp_path):
    """folder(train="a text", test="another"): a source of text files."""

    def folder(**texts):
        (tmp_path / "text").mkdir()
        for split, text in texts.items():
            path = tmp_path / "text" / f"{split}.txt"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Source(str(tmp_path))

    return folder


def stream(split):
    ids = split.columns["input_ids"]
    return torch.cat([ids[0, :1], ids[:, 1:].flatten()])


def unigram(train, test, words):
    """The perplexity of the test tokens under the frequencies of the training text, one added to each."""
    counts = torch.bincount(stream(train), minlength=words) + 1.0
    return (counts / counts.sum()).log()[stream(test)[1:]].mean().neg().exp().item()


def bigram(train, test, words, added):
    """The same with the frequencies of what follows each word."""
    counts = torch.full((words, words), added)
    ids = stream(train)
    counts.index_put_((ids[:-1], ids[1:]), torch.ones(len(ids) - 1), accumulate=True)
    test = stream(test)
    return (counts / counts.sum(1, keepdim=True)).log()[test[:-1], test[1:]].mean().neg().exp().item()


@pytest.mark.parametrize(("split", "rows"), [("train", 800), ("test", 128)])
def test_data_are_sequences_and_what_follows_them(splits, split, rows):
    ids = splits[split].columns["input_ids"]
    assert (ids.shape, ids.dtype) == ((rows, 33), torch.int64)
    assert torch.equal(ids[:-1, -1], ids[1:, 0])


def test_a_sample_counts_as_its_tokens(workload, splits):
    assert workload.units_per_sample == splits["train"].columns["input_ids"].shape[1] - 1
    assert Gpt2Text("full").units_per_sample == 1024


def test_the_full_data_are_long_sequences():
    workload = Gpt2Text("full")
    assert workload.data("test").columns["input_ids"].shape == (128, 1025)


def test_no_token_sees_a_later_one(model, workload, batch):
    """The kernel is told so, for it is given no mask."""
    ids = batch["input_ids"].clone()
    before = workload._logits(model.eval(), {"input_ids": ids})
    ids[:, 20] = (ids[:, 20] + 1) % size(workload.tokeniser)
    after = workload._logits(model, {"input_ids": ids})
    torch.testing.assert_close(after[:, :20], before[:, :20])
    assert (after[:, 20:] - before[:, 20:]).abs().amax(-1).min() > 1e-4


def test_each_token_sees_all_before_it(model, workload, batch):
    ids = batch["input_ids"].clone()
    before = workload._logits(model.eval(), {"input_ids": ids})
    ids[:, 0] = (ids[:, 0] + 1) % size(workload.tokeniser)
    assert (workload._logits(model, {"input_ids": ids}) - before).abs().amax(-1).min() > 1e-6


def test_no_cache_is_made(model, batch, monkeypatch):
    monkeypatch.setattr("transformers.models.gpt2.modeling_gpt2.DynamicCache", None)  # which a cache would be
    assert Gpt2Text("tiny").loss(model, batch).isfinite()
    with pytest.raises(TypeError):
        GPT2LMHeadModel.forward(model, input_ids=batch["input_ids"][:, :-1], use_cache=True)


class Logits(torch.nn.Module):
    """Logits with which the word after word i is i + 1 with the probability 3/4, and any of three others with 1/12."""

    def forward(self, input_ids, use_cache):
        logits = torch.nn.functional.one_hot((input_ids + 1) % 4, 4) * math.log(9)
        return type("Output", (), {"logits": logits.float()})


class Certain(WithLoss, Logits):
    pass


def test_loss_prediction_and_score_of_known_probabilities(workload):
    batch = {"input_ids": torch.tensor([[0, 1, 2, 3, 0], [0, 1, 2, 2, 3], [3, 3, 3, 3, 3]])}
    right, wrong = -math.log(3 / 4), -math.log(1 / 12)
    of_rows = torch.tensor([right, (3 * right + wrong) / 4, wrong])
    predicted = workload.predict(Certain(), batch)
    torch.testing.assert_close(predicted, of_rows)
    torch.testing.assert_close(workload.loss(Certain(), batch), of_rows.mean())
    metrics, confusion = workload.score(batch, predicted)
    # twelve tokens, of which seven are right
    assert metrics == {"perplexity": pytest.approx(((4 / 3) ** 7 * 12**5) ** (1 / 12))}
    assert confusion is None


def test_the_activation_is_the_same_function_in_one_kernel(model, saved):
    x = torch.linspace(-8, 8, 1000, dtype=torch.float64)
    fused = model.transformer.h[0].mlp.act(x)
    torch.testing.assert_close(fused, NewGELUActivation()(x), rtol=1e-12, atol=1e-14)
    config = json.loads((Path(saved) / "config.json").read_text())
    (Path(saved) / "config.json").write_text(json.dumps(config | {"activation_function": "gelu_new"}))
    loaded = Gpt2Text("tiny", checkpoint=saved).build_model()
    assert type(loaded.transformer.h[1].mlp.act) is type(model.transformer.h[0].mlp.act)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_loss_is_never_summed_in_16_bits(workload, batch, dtype):
    model = workload.build_model().to(dtype)
    loss, predicted = workload.loss(model, batch), workload.predict(model, batch)
    assert loss.dtype == max(dtype, torch.float32, key=lambda d: d.itemsize)
    assert (predicted.dtype, predicted.shape) == (torch.float32, (8,))
    assert predicted.mean().item() == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_training_beats_what_single_words_and_pairs_of_them_tell(workload, splits, cpu, seed):
    step = TrainStep(workload, precisions["fp32"](), cpu, seed=seed)
    fit(step, splits["train"], seed=seed)
    perplexity = evaluate(step, splits["test"]).metrics["perplexity"]
    words = size(workload.tokeniser)
    single = unigram(splits["train"], splits["test"], words)
    assert dummy_score(workload) == pytest.approx(single, rel=1e-3)  # which counts the first token too
    assert perplexity < 0.25 * single
    assert perplexity < 0.75 * min(bigram(splits["train"], splits["test"], words, added) for added in (0.01, 0.1, 1.0))


def test_the_loss_falls_on_two_batches(workload, splits, cpu):
    step = TrainStep(workload, precisions["fp32"](), cpu)
    step.set_rate(1.0)
    batches = [splits["train"].rows(slice(0, 8)), splits["train"].rows(slice(8, 16))]
    losses = [step(batches[i % 2]).item() for i in range(50)]
    assert sum(losses[-2:]) < 0.8 * sum(losses[:2])


@pytest.mark.parametrize("kind", ["txt", "parquet"])
def test_a_folder_is_trained_on(tmp_path, cpu, kind):
    (tmp_path / "text").mkdir()
    for split, text in (("train", STORIES), ("test", "".join(stories(1500, 1)))):
        path = tmp_path / "text" / f"{split}.{kind}"
        path.write_text(text) if kind == "txt" else Dataset.from_dict({"text": text.splitlines()}).to_parquet(path)
    workload = Gpt2Text("tiny", Source(str(tmp_path)))
    train, test = (workload.split(name, cpu) for name in ("train", "test"))
    assert 256 < size(workload.tokeniser) <= 512
    step = TrainStep(workload, precisions["fp32"](), cpu)
    fit(step, train)
    trained = evaluate(step, test).metrics["perplexity"]
    assert trained < 0.75 * unigram(train, test, size(workload.tokeniser))


def test_text_files_and_parquet_files_are_the_same_text(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "train.txt").write_text(STORIES)
    Dataset.from_dict({"text": STORIES.splitlines()}).to_parquet(tmp_path / "text" / "test.parquet")
    workload = Gpt2Text("tiny", Source(str(tmp_path)))
    train, test = (stream(workload.data(name)) for name in ("train", "test"))
    assert torch.equal(train[: len(test)], test)


def test_without_a_test_file_the_last_tenth_is_held_out(folder):
    lines = "".join(f"line {i} of 900 .\n" for i in range(900))
    workload = Gpt2Text("tiny", folder(train=lines))
    train, test = (workload.tokeniser.decode(stream(workload.data(name)).tolist()) for name in ("train", "test"))
    assert "line\u0120100\u0120" in train.replace(" ", "")
    assert "line\u0120850\u0120" not in train.replace(" ", "")
    assert "line\u0120850\u0120" in test.replace(" ", "")
    assert "line\u0120700\u0120" not in test.replace(" ", "")


def test_a_test_file_is_preferred_to_a_tenth(folder):
    workload = Gpt2Text("tiny", folder(train=STORIES, test="".join(stories(400, 1))))
    assert 10 < len(workload.data("test")) < 20


def test_train_and_test_are_written_in_one_vocabulary(folder, monkeypatch):
    made = []
    monkeypatch.setattr("mpcore.workloads.text.byte_level", lambda text, words: made.append(text) or byte_level(text, words))
    workload = Gpt2Text("tiny", folder(train=STORIES))
    assert workload.data("train").columns["input_ids"].max() < workload.build_model().config.vocab_size
    assert workload.data("test").columns["input_ids"].max() < workload.build_model().config.vocab_size
    assert made == [STORIES[: len(STORIES) * 9 // 10]]  # and not from what is held out


def test_a_vocabulary_beside_the_text_is_taken(folder, tmp_path):
    source = folder(train=STORIES)
    (tmp_path / "gpt2").mkdir()
    byte_level(STORIES, 300).save(str(tmp_path / "gpt2" / "tokenizer.json"))
    assert size(Gpt2Text("tiny", source).tokeniser) == 300


def test_a_vocabulary_larger_than_the_full_model_is_refused(folder, tmp_path):
    source = folder(train=STORIES)
    (tmp_path / "gpt2").mkdir()
    word_level([str(i) for i in range(50_258)]).save(str(tmp_path / "gpt2" / "tokenizer.json"))
    with pytest.raises(DataError) as caught:
        Gpt2Text("full", source).tokeniser  # noqa: B018
    assert str(caught.value) == f"the tokeniser of {str(tmp_path)!r} has 50258 words: expected 50257 at most"
    assert size(Gpt2Text("tiny", source).tokeniser) == 50_258


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(b"", "train.txt is empty: expected text", id="empty"),
        pytest.param(b"\xff\xfe not text\n" * 500, "train.txt: ", id="not UTF-8"),
        pytest.param(b"too short\n", "tokens: expected 513 or more, for 16 sequences of 32", id="short"),
        pytest.param(b"\n\n\n", "has 2 tokens: expected 513 or more, for 16 sequences of 32", id="blank lines"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_in_one_line(folder, tmp_path, text, words):
    with pytest.raises(DataError) as caught:
        Gpt2Text("tiny", folder(train=text)).split("train", torch.device("cpu"))
    assert str(tmp_path / "text" / "train.txt") in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("test", [{"test": "a word"}, {}], ids=["a file", "the last tenth"])
def test_a_test_that_is_too_short_is_refused(folder, test):
    workload = Gpt2Text("tiny", folder(train=STORIES if test else "a word\n" * 12, **test))
    with pytest.raises(DataError, match=r"t(est|rain)\.txt has \d tokens: expected 33 or more, for 1 sequence of 32"):
        workload.data("test")


def test_a_folder_without_a_text_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"train\.parquet' or .*train\.txt'"):
        Gpt2Text("tiny", Source(str(tmp_path))).data("train")


def test_a_saved_model_is_loaded(workload, model, batch, saved):
    loaded = Gpt2Text("tiny", checkpoint=saved)
    weights = loaded.build_model().state_dict()
    assert all(torch.equal(weights[name], weight) for name, weight in model.state_dict().items())
    assert loaded.tokeniser.get_vocab() == workload.tokeniser.get_vocab()
    assert loaded.loss(loaded.build_model().eval(), batch).item() == workload.loss(model.eval(), batch).item()


def test_a_saved_model_attends_without_a_mask_and_looks_for_no_padding(workload, saved):
    config = Gpt2Text("tiny", checkpoint=saved).build_model().config
    assert config._attn_implementation == workload.build_model().config._attn_implementation == "sdpa_unmasked"
    assert config.pad_token_id is None


def test_a_checkpoint_of_another_architecture_is_refused(saved):
    BertImdb("tiny").build_model().save_pretrained(saved)
    with pytest.raises(DataError, match="is a bert model: expected a gpt2"):
        Gpt2Text("tiny", checkpoint=saved).build_model()


def test_a_checkpoint_with_too_few_positions_is_refused(saved):
    with pytest.raises(DataError, match="has n_positions 32: expected 1024 or more"):
        Gpt2Text("full", checkpoint=saved).build_model()


def test_a_checkpoint_whose_weights_do_not_fit_is_refused(workload, saved):
    config = workload.build_model().config
    config.n_embd = 32
    config.save_pretrained(saved)
    with pytest.raises(DataError) as caught:
        Gpt2Text("tiny", checkpoint=saved).build_model()
    assert str(caught.value) == f"checkpoint {saved!r} has layers of other sizes than its configuration"


def test_the_full_model_is_gpt_2_small():
    with torch.device("meta"):
        workload = Gpt2Text("full")
        model = workload.build_model()
        batch = {"input_ids": torch.zeros(2, 1025, dtype=torch.int64)}
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(124.4e6, rel=0.001)
    assert model.get_input_embeddings().num_embeddings == 50_304  # of 50,257 words: what is beyond them is never a target
    assert model.lm_head.weight is model.get_input_embeddings().weight
    with FlopCount() as flops:
        workload.loss(model, batch).backward()
    length, width, layers = 1024, 768, 12
    tokens = 2 * length
    products = 6 * tokens * (layers * 12 * width**2 + width * 50_304)  # 2 a weight and token, three times
    attention = 12 * tokens * layers * length * width  # two products of a length by a width, three times
    assert products + attention <= flops.total <= products + 7 / 6 * attention  # which a kernel may make anew
