"""What FSDP2 divides and puts together again, and how a team shares batches; several real processes: test_processes.py."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from exact_gradients import CPU
from stages.errors import ConfigError
from stages.train.batches import Batch, lay_out
from stages.train.sharding import copy_into, in_one_piece, own_part, placed_like, shard, whole
from stages.train.team import Team
from tiny_training import arrays, random_examples


class Layer(nn.Linear):
    """What the model below calls a layer."""


class Layers(nn.Module):
    """Two layers, and a matrix that belongs to none."""

    def __init__(self, names: list[str] | None) -> None:
        super().__init__()
        self._no_split_modules = names
        self.first, self.second = Layer(4, 4, bias=False), Layer(4, 4, bias=False)
        self.output = nn.Linear(4, 2, bias=False)

    def forward(self, numbers: Tensor) -> Tensor:
        made: Tensor = self.output(self.second(self.first(numbers)))
        return made


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    """A team of one that shards all the same."""
    distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
    yield Team(0, 1, CPU, is_sharded=True)
    distributed.destroy_process_group()


@pytest.fixture
def sharded(team: Team) -> Layers:
    torch.manual_seed(0)
    model = Layers(["Layer"])
    shard(model, model, team)
    return model


def test_each_layer_is_divided_by_itself_and_the_rest_as_one(sharded: Layers) -> None:
    divided = {name for name, module in sharded.named_modules() if isinstance(module, FSDPModule)}
    assert divided == {"", "first", "second"}
    assert all(isinstance(weight, DTensor) for weight in sharded.parameters())


def test_the_gradient_is_the_sum_over_processes_and_no_mean(sharded: Layers, team: Team) -> None:
    plain = Layers(None)
    plain.load_state_dict(whole(sharded.state_dict(), team))
    for model in (plain, sharded):
        model(torch.ones(3, 4)).sum().backward()
    gradients = {name: weight.grad for name, weight in plain.named_parameters()}
    found = {name: weight.grad for name, weight in sharded.named_parameters() if weight.grad is not None}
    assert found.keys() == gradients.keys()
    for name, gradient in whole(found, team).items():
        assert torch.equal(gradient, gradients[name])  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [None, [], ["Block"]])
def test_a_model_that_names_no_layers_is_refused_with_what_to_set(names: list[str] | None, team: Team) -> None:
    with pytest.raises(
        ConfigError, match=r"this model \(Layers\) does not say what its layers are; set parallelism=ddp"
    ):
        shard(nn.Sequential(Layers(names)), Layers(names), team)


def test_the_main_process_gets_all_in_one_piece_and_the_others_nothing(sharded: Layers, team: Team) -> None:
    given = {"divided": sharded.output.weight, "count": torch.tensor(3.0)}
    made = whole(given, team)
    assert not any(isinstance(tensor, DTensor) or tensor.requires_grad for tensor in made.values())
    assert (made["divided"].shape, made["count"].item()) == ((2, 4), 3.0)
    assert whole(given, Team(1, 2, CPU, is_sharded=True)) == {}
    assert whole(given, Team(1, 2, CPU)) == given


def test_what_is_whole_is_divided_as_its_weight_is_and_all_else_stays(sharded: Layers, team: Team) -> None:
    weight, value = sharded.output.weight, torch.arange(8.0).reshape(2, 4)
    placed = placed_like(value, weight)
    assert isinstance(placed, DTensor)
    assert placed.placements == weight.placements  # type: ignore[attr-defined]
    assert torch.equal(in_one_piece(placed), value)
    assert torch.equal(own_part(placed), value)
    for other, beside in [(torch.tensor(3.0), weight), (placed, weight), (value, torch.zeros(2, 4))]:
        assert placed_like(other, beside) is other
    assert own_part(value) is in_one_piece(value) is value
    copy_into({"output": weight}, {"output": value})
    assert torch.equal(whole({"output": weight}, team)["output"], value)


def batches() -> list[Batch]:
    return list(lay_out(arrays(random_examples(4)), [np.array([n]) for n in range(4)], packing=True, pack_tokens=2048))


@pytest.mark.parametrize("is_sharded", [False, True])
def test_each_batch_is_one_process_s_and_sharded_ones_have_equally_many(is_sharded: bool) -> None:
    given = batches()
    shares = [Team(rank, 3, CPU, is_sharded).share(given) for rank in range(3)]
    own = [[list(batch.members) for batch in share if batch.supervised] for share in shares]
    assert own == [[[0], [3]], [[1]], [[2]]]
    assert [len(share) for share in shares] == ([2, 2, 2] if is_sharded else [2, 1, 1])
    assert all(batch.weight == 0 for share in shares for batch in share if not batch.supervised)


@pytest.mark.parametrize(("mine", "others"), [([1.0, 3.0], [2.0, 0.0]), ([1.0], [2.0]), ([], [2.0])])
def test_numbers_come_together_in_the_order_of_the_batches(
    mine: list[float], others: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_gather(columns: list[Tensor], own: Tensor) -> None:
        columns[0].copy_(own)
        columns[1].copy_(torch.tensor(others))

    monkeypatch.setattr("stages.train.team.distributed.all_gather", all_gather)
    count = 2 * len(others) - 1 if len(others) == 2 else 2
    found = Team(0, 2, CPU).gather([torch.tensor(value) for value in mine], count)
    assert found.tolist() == {2: [1.0, 2.0, 3.0], 1: [1.0, 2.0], 0: [0.0, 2.0]}[len(mine)]


@pytest.mark.parametrize("is_sharded", [False, True])
def test_gradients_add_up_and_one_that_a_process_lacks_is_zero(
    is_sharded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_the_other_process(own: Tensor, *, async_op: bool) -> SimpleNamespace:
        own += 2
        return SimpleNamespace(wait=lambda: None)

    monkeypatch.setattr("stages.train.team.distributed.all_reduce", add_the_other_process)
    weights = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    weights[0].grad = torch.ones(1)
    Team(0, 2, CPU, is_sharded).sum_gradients(weights)
    found = [None if weight.grad is None else weight.grad.tolist() for weight in weights]
    assert found == ([[1.0], None] if is_sharded else [[3.0], [2.0]])


def test_a_team_of_one_asks_nobody() -> None:
    assert Team(0, 1, CPU).gather([torch.tensor(1.0), torch.tensor(2.0)], 2).tolist() == [1.0, 2.0]
    assert Team(0, 1, CPU).agree("all of us") == "all of us"
