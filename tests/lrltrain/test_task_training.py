"""Task adapters train the same with and without a cache, with seeds together or alone, and with and without graphs."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from itertools import count, islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lrltrain.evaluation import inputs as inputs_module
from lrltrain.evaluation.features import featurize
from lrltrain.evaluation.heads import TaskHeads, TaskModel
from lrltrain.evaluation.inputs import Inputs
from lrltrain.evaluation.items import LABELS, Items
from lrltrain.evaluation.stack import stack
from lrltrain.evaluation.training import SeedOutcome, TaskTraining, TaskTrainingArgs
from lrltrain.models import find_base, load_tokenizer
from lrltrain.modules.insert import MODULE_NAME, AdapterStack, FusedStack, insert, take_out
from lrltrain.modules.settings import Bottlenecks
from lrltrain.modules.stacks import PENALTY
from lrltrain.training.graphs import MOST_CLEARED, Graphs
from lrltrain.training.loss import IGNORED
from lrltrain.training.prefetch import prefetched

BASE = find_base("lrl-mini")
TOKENIZER = load_tokenizer(BASE)
ARGS = TaskTrainingArgs(3, 4, 1e-2, 0.01, 0.05)
CPU = torch.device("cpu")


def example_data(tokens: bool) -> tuple[Items, Inputs]:
    """Return six items, which make a batch of four and one of two."""
    generator = np.random.default_rng(0)
    words = tuple(tuple(generator.choice(["casa", "Cluj", "mergea", "Ion"], size)) for size in (3, 9, 5, 2, 14, 7))
    texts = tuple(map(" ".join, words))
    if tokens:
        gold: tuple[Any, ...] = tuple(
            tuple("B-LOC" if word == "Cluj" else "O" for word in sentence) for sentence in words
        )
        items = Items(texts, gold, words)
    else:
        items = Items(texts, ("sports", "health") * 3)
    features = featurize(TOKENIZER, items, LABELS["ner" if tokens else "topic"], 64)
    return items, Inputs(features, TOKENIZER.pad_token_id, CPU)


def fused_below(encoder: Any, seeds: list[int]) -> FusedStack:
    """Insert a trainable fusion, one per seed, below the task adapters."""
    members = [AdapterStack(encoder, Bottlenecks(reduction_factor=8, invertible=True), [name]) for name in ("a", "b")]
    for number, member in enumerate(members):
        member.initialize(number)
        with torch.no_grad():
            for parameter in member.requires_grad_(False).parameters():
                parameter.mul_(5)  # as after training: the fused adapters differ
    fused = FusedStack(encoder, members, len(seeds))
    for number, seed in enumerate(seeds):
        fused.initialize(seed, number)
    insert(encoder, fused, *take_out(encoder))
    return fused


def model_of(tokens: bool, seeds: list[int], dropout: float | None = None, *, fused: bool = False) -> TaskModel:
    stacked = stack(BASE, None, None, 4.0, seeds)
    below = fused_below(stacked.encoder, seeds) if fused else None
    if dropout is not None:
        for module in stacked.encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
            elif hasattr(module, "dropout_prob"):
                module.dropout_prob = dropout
    rate = 0.1 if dropout is None else dropout
    labels = len(LABELS["ner" if tokens else "topic"])
    head = TaskHeads(seeds, 128, labels, rate, tokens=tokens)
    return TaskModel(stacked.encoder, head, below.penalty if below else None)


def fit(
    tokens: bool, seeds: list[int], dropout: float | None = 0.0, *, graphs: bool = False, fused: bool = False
) -> Any:
    """Train a model; return the training, the outcome of each seed, and its predictions for the training items."""
    items, inputs = example_data(tokens)
    task = "ner" if tokens else "topic"
    training = TaskTraining(model_of(tokens, seeds, dropout, fused=fused), LABELS[task], ARGS)
    if graphs:
        training.graphs = ReplayedGraphs(CPU, training.weights.state)
    outcomes = training.fit(inputs, example_data(tokens)[1], items, task, seeds, lambda *_: None)
    return training, outcomes, training.predict(inputs)


class Graph:
    """Runs the captured function again on the tensors of the capture, as a GPU's graph does."""

    def __init__(self, function: Any, inputs: dict[str, Tensor], outputs: tuple[Tensor, ...]) -> None:
        self.function, self.inputs, self.outputs = function, inputs, outputs

    def replay(self) -> None:
        with torch.set_grad_enabled(self.outputs[0].dtype.is_floating_point):
            for output, result in zip(self.outputs, self.function(self.inputs), strict=True):
                output.copy_(result)


class ReplayedGraphs(Graphs):
    """Graphs on a CPU: warmed up, captured, reset and replayed as on a GPU, without the part that needs a GPU."""

    def __init__(self, device: torch.device, state: Any) -> None:
        super().__init__(device, state, on=False)
        self.on, self.captures = True, 0

    def _capture(self, function: Any, inputs: dict[str, Tensor]) -> Any:
        self.captures += 1
        saved = [(tensor, tensor.clone()) for tensor in self._state()]
        function(inputs)
        outputs = tuple(output.clone() for output in function(inputs))
        with torch.no_grad():
            for tensor, value in saved:
                tensor.copy_(value)
        return Graph(function, inputs, outputs), inputs, outputs


@pytest.mark.parametrize(("tokens", "fused"), [(False, False), (True, False), (False, True)])
def test_cached_and_complete_forward_passes_give_the_same_logits_and_gradients(tokens: bool, fused: bool) -> None:
    model = model_of(tokens, [1], dropout=0.0, fused=fused)
    _, inputs = example_data(tokens)
    assert model.splits
    chosen = [np.array([4, 0, 2])]
    layout = inputs.layout(chosen)
    visible = layout["mask"].bool() if tokens else slice(None)
    inputs.keep(model, 4, nullcontext())
    model.train()
    results: list[tuple[Tensor, list[Tensor]]] = []
    ids_and_mask = layout["tokens"], layout["mask"]
    for logits in (inputs.logits(model, inputs.layout(chosen)), model(*ids_and_mask), model.whole(*ids_and_mask)):
        model.zero_grad()
        logits[visible].square().sum().backward()
        gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        results.append((logits[visible].detach(), gradients))
    for logits, gradients in results[1:]:
        torch.testing.assert_close(logits, results[0][0], atol=1e-5, rtol=1e-4)
        for one, other in zip(gradients, results[0][1], strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_cached_training_equals_uncached_training_even_with_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    for limit in (inputs_module.MOST_BYTES, 0):
        monkeypatch.setattr(inputs_module, "MOST_BYTES", limit)
        items, inputs = example_data(tokens=False)
        training = TaskTraining(model_of(False, [7]), LABELS["topic"], ARGS)
        (outcome,) = training.fit(inputs, inputs, items, "topic", [7], lambda *_: None)
        assert (inputs.kept is None) == (limit == 0)
        losses.append(outcome.loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_only_the_task_adapter_and_the_head_train() -> None:
    items, inputs = example_data(tokens=False)
    model = model_of(False, [1])
    before = {name: value.clone() for name, value in model.named_parameters()}
    training = TaskTraining(model, LABELS["topic"], ARGS)
    training.fit(inputs, inputs, items, "topic", [7], lambda *_: None)
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed
    assert all(f".{MODULE_NAME}." in name or name.startswith("head.") for name in changed)
    assert [len(labels) for labels in training.predict(inputs)] == [6]


@pytest.mark.parametrize(("tokens", "fused"), [(False, False), (True, False), (False, True)])
def test_seeds_trained_together_end_as_when_trained_alone(tokens: bool, fused: bool) -> None:
    together, outcomes, predicted = fit(tokens, [1, 2, 3], fused=fused)
    for index, seed in enumerate((1, 2, 3)):
        alone, (expected,), (labels,) = fit(tokens, [seed], fused=fused)
        assert outcomes[index].loss == pytest.approx(expected.loss, rel=1e-4)
        assert outcomes[index].dev == pytest.approx(expected.dev)
        assert predicted[index] == labels
        for one, other in zip(together.weights.values(index), alone.weights.values(0), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    assert len({tuple(outcome.loss) for outcome in outcomes}) == 3, "each seed has its own weights and order"


def test_the_values_of_a_trained_fusion_are_regularised_towards_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = []
    for penalised in (True, False):
        model, inputs = model_of(False, [1, 2], 0.0, fused=True), example_data(tokens=False)[1]
        model.penalty = model.penalty if penalised else None
        value = getattr(model.encoder, MODULE_NAME)[0].fusions["0"].value.weight  # (seeds, hidden, hidden)
        with torch.no_grad():
            value[1].add_(0.5)
        training = TaskTraining(model, LABELS["topic"], ARGS)
        monkeypatch.setattr(training.weights, "update", lambda: None)
        training._step(inputs, inputs.layout([np.array([0, 1])] * 2))  # noqa: SLF001
        gradient = next(weights.grad for weights in training.weights.flat if weights.data_ptr() == value.data_ptr())
        assert gradient is not None
        gradients.append(gradient.view(value.shape).clone())
    torch.testing.assert_close(
        gradients[0] - gradients[1], 2 * PENALTY * (value - torch.eye(128)), atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize(("tokens", "fused"), [(False, False), (True, False), (False, True)])
def test_graphs_do_not_change_results(tokens: bool, fused: bool) -> None:
    graphed, outcomes, predicted = fit(tokens, [1, 2], graphs=True, fused=fused)
    _, expected, labels = fit(tokens, [1, 2], fused=fused)
    assert [outcome.loss for outcome in outcomes] == [pytest.approx(outcome.loss, rel=1e-4) for outcome in expected]
    assert predicted == labels
    assert 2 <= graphed.graphs.captures < 8, "shapes repeat"


def test_a_seed_whose_loss_is_not_a_number_does_not_stop_the_others() -> None:
    items, inputs = example_data(tokens=True)
    model = model_of(True, [1, 2], dropout=0.0)
    with torch.no_grad():
        model.head.output.weight[0, 0, 0] = torch.nan
    training = TaskTraining(model, LABELS["ner"], ARGS)
    outcomes: list[SeedOutcome] = training.fit(inputs, inputs, items, "ner", [1, 2], lambda *_: None)
    assert outcomes[0].failed == "the loss of epoch 1 is nan."
    assert (outcomes[1].failed, outcomes[1].loss) == ("", pytest.approx(fit(True, [2])[1][0].loss, rel=1e-4))


def test_a_seed_with_fewer_items_is_padded_with_an_unlabelled_item() -> None:
    for tokens in (False, True):
        _, inputs = example_data(tokens)
        layout = inputs.layout([np.array([0, 1]), np.array([4])], static=True)
        assert layout["tokens"].shape == (4, int(inputs.lengths.max()))
        assert torch.equal(layout["tokens"][2], layout["tokens"][3])
        assert layout["mask"].sum(1).tolist() == inputs.lengths[[0, 1, 4, 4]].tolist()
        assert (layout["labels"][3] == IGNORED).all()
        assert (layout["labels"][:3] != IGNORED).any(-1).all()


def test_each_shape_has_one_graph_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    total = torch.zeros(())

    def add(tensors: Mapping[str, Tensor]) -> tuple[Tensor]:
        total.add_(tensors["x"].sum())
        return (tensors["x"] * 2,)

    graphs = ReplayedGraphs(CPU, lambda: [total])
    monkeypatch.setattr("lrltrain.training.graphs.MOST_GRAPHS", 2)
    for length in (1, 2, 3, 1, 2, 3):
        (result,) = graphs.run("add", add, {"x": torch.full((length,), float(length))})
        assert result.tolist() == [2.0 * length] * length
    assert graphs.captures == 2
    assert total == 2 * (1 + 4 + 9), "what the warm-up before a capture adds is undone"
    graphs.run("other", add, {"x": torch.ones(1)})
    assert graphs.captures == 3, "functions do not share graphs"
    graphs.clear()
    graphs.run("add", add, {"x": torch.ones(1)})
    assert graphs.captures == 4


def test_if_memory_runs_out_other_graphs_are_dropped_before_a_capture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs, too_long = ReplayedGraphs(CPU, list), [3]
    capture = graphs._capture  # noqa: SLF001

    def capture_if_it_fits(function: Any, inputs: dict[str, Tensor]) -> Any:
        if len(inputs["x"]) in too_long:
            too_long.clear()
            raise torch.OutOfMemoryError
        return capture(function, inputs)

    monkeypatch.setattr(graphs, "_capture", capture_if_it_fits)
    for length in (2, 3, 2):
        (result,) = graphs.run("double", lambda tensors: (tensors["x"] * 2,), {"x": torch.ones(length)})
        assert result.tolist() == [2.0] * length
    assert graphs.captures == 3, "the other graph was dropped"
    too_long[:] = [4]
    monkeypatch.setattr(graphs, "clear", lambda: too_long.append(4))
    with pytest.raises(torch.OutOfMemoryError):
        graphs.run("double", lambda tensors: (tensors["x"] * 2,), {"x": torch.ones(4)})


def test_if_graphs_never_fit_together_steps_run_without_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    total = torch.zeros(())
    graphs = ReplayedGraphs(CPU, lambda: [total])
    capture = graphs._capture  # noqa: SLF001

    def capture_if_alone(function: Any, inputs: dict[str, Tensor]) -> Any:
        if any(graphs._captured.values()):  # noqa: SLF001
            raise torch.OutOfMemoryError
        return capture(function, inputs)

    def add(tensors: Mapping[str, Tensor]) -> tuple[Tensor]:
        total.add_(tensors["x"].sum())
        return (tensors["x"] * 2,)

    monkeypatch.setattr(graphs, "_capture", capture_if_alone)
    with caplog.at_level(logging.INFO, "lrldata"):
        for length in [1, 2] * 20:
            (result,) = graphs.run("add", add, {"x": torch.ones(length)})
            assert result.tolist() == [2.0] * length
    assert graphs.captures == 1 + MOST_CLEARED
    assert total == 20 * (1 + 2)
    assert caplog.text.count("no room for several CUDA graphs") == 1


def test_what_runs_without_a_graph_gets_their_memory() -> None:
    graphs, attempts = ReplayedGraphs(CPU, list), list[int]()

    def measure() -> str:
        attempts.append(len(graphs._captured))  # noqa: SLF001
        if graphs._captured:  # noqa: SLF001
            raise torch.OutOfMemoryError
        return "measured"

    graphs.run("double", lambda tensors: (tensors["x"] * 2,), {"x": torch.ones(1)})
    assert graphs.with_room(measure) == "measured"
    assert attempts == [1, 0]


def test_prefetched_items_keep_their_order_and_errors_reach_the_consumer() -> None:
    gpu = torch.device("cuda")
    assert list(prefetched(iter(range(50)), gpu)) == list(range(50)) == list(prefetched(iter(range(50)), CPU))
    assert list(islice(prefetched(count(), gpu), 3)) == [0, 1, 2], "an endless source can be abandoned"

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("here")

    items = prefetched(failing(), gpu)
    assert next(items) == 1
    with pytest.raises(ValueError, match="here"):
        next(items)
