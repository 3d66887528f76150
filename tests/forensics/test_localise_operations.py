"""Whatever operation loses its numbers, in a module, its derivative or the loss, it is the one named."""

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch
from localise_samples import CLASSES, FEATURES, Function, Middle, Net, found_between, net
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from stabsearch.forensics.localise import Phase, localise
from stabsearch.forensics.origin.tensors import tensor_facts


class HalfSlope(torch.autograd.Function):
    """A derivative that overflows half precision; the forward is the identity."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:
        return (slope.half() * 1e7).float()


class HalfValue(torch.autograd.Function):
    """A forward that overflows half precision."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return (x.half() * 1e6).float()

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:
        return slope


def fully_masked(x: torch.Tensor) -> torch.Tensor:
    is_masked = torch.zeros(x.shape, dtype=torch.bool)
    is_masked[2] = True
    return x.masked_fill(is_masked, -math.inf).softmax(-1)


def large_negative_mask(x: torch.Tensor) -> torch.Tensor:
    mask = torch.zeros(x.shape)
    mask[2] = -1e9
    return (x.half() + mask.half()).softmax(-1).float()


def nearly_masked(x: torch.Tensor) -> torch.Tensor:
    return x.masked_fill(torch.tensor([False, True, True, True]), -math.inf).softmax(-1)


FORWARD: dict[str, tuple[Function, str, str]] = {
    "log_of_zero": (lambda x: (x * 0).log(), "aten.log", "log in middle takes the log of zero"),
    "log_of_a_negative": (lambda x: x.log(), "aten.log", "takes the log of a negative number"),
    "division_by_zero": (lambda x: x / (x - x), "aten.div", "div in middle divides by zero"),
    "zero_by_zero": (lambda x: (x * 0) / (x * 0), "aten.div", "div in middle divides 0 by 0"),
    "exp": (lambda x: (x * 1e3).exp(), "aten.exp", "exp in middle overflows float32: inputs up to"),
    "in_place": (lambda x: x.clone().mul_(1e38).mul_(1e38), "aten.mul_", "inputs up to 1e+38"),
    "constant": (
        lambda x: x * torch.full((4,), math.nan),
        "aten.full",
        "fills in numbers that are not finite",
    ),
    "custom_function": (HalfValue.apply, "aten.mul", "mul in middle overflows float16: inputs up to 1000000"),
    "fully_masked_row": (
        fully_masked,
        "aten._softmax",
        "normalises a row that is -inf everywhere: inputs up to",
    ),
    "mask_times_zero": (
        lambda x: x * torch.full((4,), -math.inf).mul(torch.tensor([0.0, 1.0, 1.0, 1.0])),
        "aten.mul",
        "the -inf comes from full in middle",
    ),
    "overflow_to_minus_infinity": (
        lambda x: torch.nn.functional.gelu(((x - x - 300.0).half() * 300).float()),
        "aten.mul",
        "mul in middle overflows float16: inputs up to 300",
    ),
    "attention": (
        lambda x: torch.nn.functional.scaled_dot_product_attention(*[(x * 1e20)[None, None]] * 3)[0, 0],
        "aten._scaled_dot_product_flash_attention_for_cpu",
        "overflows float32 on its way to NaN",
    ),
    "healed_before": (
        lambda x: torch.nan_to_num((x - 9.0).detach().sqrt()) + (x * 1e3).exp(),
        "aten.exp",
        "exp in middle overflows float32",
    ),
}


@pytest.mark.parametrize("name", FORWARD)
def test_operations_of_the_forward(name: str) -> None:
    """Operation, module and reason; what was healed before it is not blamed."""
    function, op, said = FORWARD[name]
    found = found_between(function)
    assert (found.phase, found.op, found.module) == (Phase.FORWARD, op, "middle")
    assert said in found.sentence


BACKWARD: dict[str, tuple[Function, str, str]] = {
    "slope_of_sqrt_at_zero": (
        lambda x: (x * 0).sqrt(),
        "aten.div",
        "div in the backward pass of middle (SqrtBackward0) divides by zero",
    ),
    "custom_function": (
        HalfSlope.apply,
        "aten.mul",
        "mul in the backward pass of middle (HalfSlopeBackward) overflows float16: inputs up to 10000000",
    ),
    "where_hides_an_infinite_slope": (
        lambda x: torch.where(x > 9, (x * 0).sqrt(), x),
        "aten.div",
        "div in the backward pass of middle (SqrtBackward0) divides 0 by 0",
    ),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_operations_of_the_backward_pass(name: str) -> None:
    """The loss is finite: the derivative is named, and the module that it belongs to."""
    function, op, said = BACKWARD[name]
    found = found_between(function)
    assert (found.phase, found.op, found.module) == (Phase.BACKWARD, op, "middle")
    assert said in found.sentence
    assert math.isfinite(found.loss or math.nan)
    assert found.gradients is not None
    assert (found.gradients.first_bad, found.gradients.num_bad) == ("first.bias", 2)


def test_where_hides_a_nan_from_the_loss_only() -> None:
    """The classic: the branch not taken is NaN, its derivative is NaN times zero."""
    found = found_between(lambda x: torch.where(x > 0, x.sqrt(), 0.0))
    assert (found.phase, found.op) == (Phase.FORWARD, "aten.sqrt")
    assert found.sentence.endswith("; the loss is finite, its gradients are not")


def test_a_mask_that_leaves_something_is_sound() -> None:
    """-inf is what a mask is made of."""
    assert found_between(nearly_masked).is_finite


def test_a_large_negative_mask_in_half_precision() -> None:
    """-1e9 becomes -inf in fp16: the softmax is named, and the cast that made the mask one."""
    found = found_between(large_negative_mask)
    assert (found.op, found.module) == ("aten._softmax", "middle")
    assert found.origin is not None
    source = found.origin.minus_inf_from
    assert source is not None
    assert (source.site.op, source.reason) == ("aten._to_copy", "overflows float16")
    assert found.sentence.endswith(
        "the -inf comes from the cast in middle, which overflows float16: inputs up to 1e+09"
    )
    assert found.origin.output.bad_rows == (2,)


def test_a_loss_of_the_users_own() -> None:
    """Operations outside the model belong to the loss."""
    model = net()
    found = localise(model, lambda: (model(FEATURES) * 1e30).pow(2).mean())
    assert (found.phase, found.op, found.module) == (Phase.LOSS, "aten.pow", "the loss")
    assert found.sentence.startswith("the loss is inf: pow in the loss overflows float32: inputs up to")


def weighted(weight: torch.Tensor, **more: Any) -> Any:
    model = net()

    def step() -> torch.Tensor:
        losses = cross_entropy(model(FEATURES), CLASSES, reduction="none")
        return (losses * weight).mean()

    return localise(model, step, **more)


def test_a_tensor_that_only_the_loss_reads() -> None:
    """Its rows are known; its name is where the batch is handed over."""
    weight = torch.tensor([1.0, 1.0, math.nan, 1.0, math.nan])
    found = weighted(weight)
    assert (found.phase, found.origin) == (Phase.BEFORE, None)
    assert found.sentence == "a tensor from outside the model holds NaN in rows 2, 4 (float32, 5)"
    assert weighted(weight, inputs={"weight": weight}).sentence == "input weight holds NaN in rows 2, 4"


def test_an_input_that_is_not_finite() -> None:
    """Positional arguments have the names of the model's forward."""
    model, features = net(), FEATURES.clone()
    features[3, 1] = math.inf
    assert localise(model, lambda: model(features).sum()).sentence == "input x holds +inf in row 3"


def test_a_buffer_that_is_not_finite() -> None:
    """NaN in a buffer is a fault, -inf in a buffer is a mask."""
    model = net()
    model.register_buffer("shift", torch.tensor([math.nan, 0.0]))
    model.register_buffer("causal", torch.tensor([-math.inf, 0.0]))
    sound = localise(model, lambda: (model(FEATURES) + model.causal).softmax(-1).sum())
    assert sound.phase is Phase.NOWHERE
    found = localise(model, lambda: torch.sum(model(FEATURES) + model.shift))
    assert [facts.name for facts in found.bad_buffers] == ["shift"]
    assert found.sentence == "buffer shift held NaN before this step"


def test_a_norm_that_overflows_although_every_gradient_is_finite() -> None:
    """Squares of 1e25 are infinite in fp32; clipping then makes zeros of all gradients."""
    found = found_between(lambda x: x * 1e25)
    assert (found.phase, found.origin) == (Phase.GRADIENTS, None)
    assert found.gradients is not None
    assert (found.gradients.num_bad, found.gradients.norm) == (0, math.inf)
    assert found.sentence.startswith("every gradient is finite, their norm overflows: up to ")
    assert found.sentence.endswith(f"in {found.gradients.largest_in}")


def test_gradients_are_told_without_the_loss_scale() -> None:
    """The same numbers at any scale, up to rounding."""
    plain, scaled = found_between(lambda x: x), found_between(lambda x: x, loss_scale=1024.0)
    assert plain.gradients is not None
    assert scaled.gradients is not None
    assert scaled.gradients.norm == pytest.approx(plain.gradients.norm)
    assert scaled.is_finite


def test_zero_by_zero_is_no_benign_skip() -> None:
    """A slope that is infinite at scale 1 too is a fault, however large the scale."""
    found = found_between(lambda x: (x * 0).sqrt(), loss_scale=65536.0)
    assert (found.phase, found.is_benign_skip) == (Phase.BACKWARD, False)


def boom(*args: Any) -> None:
    raise ValueError("first line\nsecond line")


def test_a_hook_that_raises_in_the_forward() -> None:
    """Its module is named, and only the first line of its message."""
    model = net()
    model.middle.register_forward_hook(boom)
    found = localise(model, lambda: model(FEATURES).sum())
    assert found.error is not None
    assert found.error.modules == ("the model", "middle")
    assert found.sentence == "the forward raises ValueError: first line (in middle)"


@pytest.mark.filterwarnings("ignore:Full backward hook")
def test_a_hook_that_raises_in_the_backward_pass() -> None:
    """The forward is done by then, so there is a loss."""
    model = net()
    model.first.register_full_backward_hook(boom)
    found = localise(model, lambda: model(FEATURES).sum())
    assert found.phase is Phase.BACKWARD
    assert found.loss is not None
    assert found.sentence == "the backward pass raises ValueError: first line"


def test_nothing_to_back_propagate() -> None:
    """A loss without a gradient is looked at as far as it goes."""
    model = net()
    found = localise(model, lambda: model(FEATURES).sum().detach())
    assert (found.phase, found.gradients) == (Phase.NOWHERE, None)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 0)])
def test_tensors_without_elements_and_integers_are_sound(shape: tuple[int, ...]) -> None:
    """Neither can hold anything bad."""
    found = found_between(lambda x: x + torch.zeros(shape).sum() + torch.ones(4, dtype=torch.bool).int())
    assert found.is_finite
    assert tensor_facts("empty", torch.zeros(shape)).largest is None


def test_a_torch_without_its_private_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The derivative's module is unknown then; everything else stays."""
    monkeypatch.delattr(torch._C, "_current_autograd_node")
    monkeypatch.delattr(torch._C._autograd, "_get_sequence_nr")
    found = found_between(lambda x: (x * 0).sqrt())
    assert (found.phase, found.op, found.module) == (Phase.BACKWARD, "aten.div", "unknown")
    assert found_between(lambda x: x.log()).module == "middle"


def test_a_step_that_cannot_be_traced_is_run_plainly() -> None:
    """A model that fails only under observation is told from one that fails."""
    traced: list[bool] = []

    def shy(x: torch.Tensor) -> torch.Tensor:
        traced.append(torch.utils._python_dispatch._get_current_dispatch_mode() is not None)
        if traced[-1]:
            raise NotImplementedError("no rule for this mode")
        return x.log()

    found = found_between(shy)
    assert traced == [True, False]
    assert (found.phase, found.error, found.origin) == (Phase.LOSS, None, None)
    assert found.note == "the step could not be traced: NotImplementedError: no rule for this mode"
    assert found.sentence == "the loss is nan, and no operation is to blame"


def test_many_tensors_in_and_out() -> None:
    """Tuples, lists and dictionaries of tensors are looked into."""
    found = found_between(lambda x: torch.cat([*x.chunk(2, -1), (x.detach() * 0).log()], -1)[:, :4])
    assert found.is_finite  # the infinite part is cut off
    found = found_between(lambda x: torch.stack([x, (x * 0).log()]).sum(0))
    assert (found.op, found.module) == ("aten.log", "middle")


def test_complex_numbers() -> None:
    """A Fourier transform of infinite numbers goes through complex ones."""
    found = found_between(lambda x: torch.fft.fft((x * 1e3).exp()).real)
    assert (found.op, found.module) == ("aten.exp", "middle")


def test_an_operation_in_place_is_told_with_what_it_read() -> None:
    """Its input is overwritten by the time it is looked at."""
    found = found_between(lambda x: x.clone().mul_(1e38).mul_(1e38))
    assert found.origin is not None
    assert [facts.num_bad for facts in found.origin.inputs] == [0, 0]


@pytest.fixture
def nan_in_fresh_memory() -> Iterator[None]:
    """Make torch fill reserved memory with NaN, where it usually leaves whatever stood there."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("nan_in_fresh_memory")
@pytest.mark.parametrize(
    "write",
    [
        lambda x, room: x + room.copy_(x),
        lambda x, room: x + room.fill_(1.0),
        lambda x, room: torch.add(x.detach(), 1.0, out=room) + x,
    ],
)
def test_memory_that_is_written_before_it_is_read_is_sound(write: Any) -> None:
    """What stood there first is nobody's fault; a real fault after it is still found."""
    assert found_between(lambda x: write(x, torch.empty(x.shape))).is_finite
    found = found_between(lambda x: write((x * 1e3).exp(), torch.empty(x.shape)))
    assert (found.op, found.module) == ("aten.exp", "middle")


@pytest.mark.usefixtures("nan_in_fresh_memory")
def test_memory_that_is_read_before_it_is_written() -> None:
    """An origin of its own, named where it is read."""
    found = found_between(lambda x: x * torch.empty(x.shape))
    assert (found.phase, found.op, found.module) == (Phase.FORWARD, "aten.mul", "middle")
    assert found.sentence.startswith("mul in middle reads memory that was never written")


def test_minus_infinity_among_the_inputs_is_no_mask_for_a_sum() -> None:
    """A label of -inf that goes through where() and meets a zero."""
    target = torch.tensor([1.0, -math.inf, 1.0, 1.0, 1.0])
    model = net()

    def step() -> torch.Tensor:
        kept = torch.where(target < 9, target, 0.0) * 0.0
        return (kept + model(FEATURES).sum(-1)).sum()

    found = localise(model, step, inputs={"target": target})
    assert found.sentence == "input target holds -inf in row 1"


class OwnLoss(torch.nn.Module):
    """A model that returns its loss and computes something itself before its last module."""

    def __init__(self, before: Function, after: Function) -> None:
        super().__init__()
        self.first, self.last, self.before, self.after = (
            torch.nn.Linear(4, 4),
            torch.nn.Linear(4, 2),
            before,
            after,
        )

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.last(self.before(self.first(x)))
        return {"logits": logits, "loss": self.after(logits).mean()}


@pytest.mark.parametrize("is_before", [True, False])
def test_the_loss_begins_after_the_last_module(is_before: bool) -> None:
    """The same operation of the model itself, ahead of its last module and behind it."""
    parts: list[Function] = [lambda x: (x * 1e3).exp(), lambda x: x]
    model = OwnLoss(*(parts if is_before else parts[::-1]))
    with torch.no_grad():
        model.first.weight.fill_(1.0)
        model.last.weight.fill_(1.0)
    found = localise(model, lambda: model(FEATURES)["loss"])
    assert (found.op, found.module) == ("aten.exp", "the model")
    assert found.phase is (Phase.FORWARD if is_before else Phase.LOSS)


class Scaled(Net):
    """A model that returns no loss and computes something itself after its last module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 1e30 * 1e30


def test_a_model_that_returns_no_loss_does_not_compute_it() -> None:
    """What it does after its last module is its forward all the same."""
    model = Scaled(lambda x: x)
    found = localise(model, lambda: model(FEATURES).mean())
    assert (found.phase, found.module) == (Phase.FORWARD, "the model")
    assert "mul in the model itself (Scaled) overflows float32" in found.sentence


def test_a_derivative_is_not_given_to_a_later_module() -> None:
    """A comparison has no derivative, so it takes no number of autograd's."""
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 4), Middle(lambda x: (x * 0).sqrt()), Middle(lambda x: (x > 0).float() + x)
    )
    found = localise(model, lambda: model(FEATURES).sum())
    assert (found.phase, found.op, found.module) == (Phase.BACKWARD, "aten.div", "1")


class Forgiving(torch.nn.Module):
    """A model that goes on after one of its modules has raised."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.broken, self.last = torch.nn.Linear(4, 4), Middle(boom), torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with suppress(ValueError):
            self.broken(x)
        return self.last(self.first(x) * 1e30 * 1e30)


def test_an_exception_that_the_model_takes_care_of() -> None:
    """The module that raised is left, and nothing is blamed on it."""
    model = Forgiving()
    found = localise(model, lambda: model(FEATURES).sum())
    assert (found.op, found.module, found.error) == ("aten.mul", "the model", None)


def test_a_global_hook_that_raises_ahead_of_the_module() -> None:
    """The module was never entered, so none is left either."""
    model = Forgiving()

    def refuse(module: torch.nn.Module, args: Any) -> None:
        if module is model.broken:
            raise ValueError

    handle = torch.nn.modules.module.register_module_forward_pre_hook(refuse)
    try:
        found = localise(model, lambda: model(FEATURES).sum())
    finally:
        handle.remove()
    assert (found.op, found.module) == ("aten.mul", "the model")


def test_a_hook_of_the_users_own_belongs_to_its_module() -> None:
    """Before the forward as well as after it."""
    for register in ("register_forward_pre_hook", "register_forward_hook"):
        model = net()
        getattr(model.middle, register)(lambda module, args, *output: (args[0] * 1e3).exp())
        assert localise(model, lambda: model(FEATURES).sum()).module == "middle"  # noqa: B023


class SecondTime(torch.nn.Module):
    """A checkpointed module whose second forward takes the root of a negative number."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.calls = torch.nn.Linear(4, 4), 0
        self.inner = Middle(self._compute)

    def _compute(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * 1.0 if self.calls == 1 else (x - 9.0).sqrt()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.inner, self.first(x), use_reentrant=True)


def test_a_forward_that_is_bad_only_when_it_is_computed_again() -> None:
    """A checkpoint runs it in the backward pass; it is a forward all the same."""
    model = SecondTime()
    found = localise(model, lambda: model(FEATURES).sum())
    assert (found.phase, found.op, found.module) == (Phase.FORWARD, "aten.sqrt", "inner")


def test_one_loss_per_replica_and_gradients_switched_off() -> None:
    """A vector of losses is averaged; a caller's no_grad does not reach the step."""
    model = net()
    with torch.no_grad():
        found = localise(model, lambda: model(FEATURES).sum(-1))
    assert found.loss == pytest.approx(float(model(FEATURES).sum(-1).mean().detach()))
    assert found.gradients is not None


def test_numbers_of_every_kind_of_tensor() -> None:
    """Sparse, eight bits wide, or so large that their squares overflow."""
    indices = torch.tensor([[0, 2]])
    assert (
        tensor_facts(
            "sparse", torch.sparse_coo_tensor(indices, [1.0, math.nan], (4,), check_invariants=True)
        ).num_nan
        == 1
    )
    assert tensor_facts("float8", torch.tensor([1.0, math.nan]).to(torch.float8_e5m2)).num_nan == 1
    facts = tensor_facts("large", torch.full((4,), 1e30))
    assert (facts.largest, facts.norm) == (pytest.approx(1e30), pytest.approx(2e30))


def test_a_sparse_gradient() -> None:
    """An embedding that keeps its gradient sparse."""
    embedding = torch.nn.Embedding(8, 2, sparse=True)
    ids = torch.tensor([1, 3])
    sound = localise(embedding, lambda: embedding(ids).sum())
    assert sound.is_finite
    found = localise(embedding, lambda: (embedding(ids) * 0).sqrt().sum())
    assert found.gradients is not None
    assert (found.gradients.num_bad, found.gradients.first_bad) == (1, "weight")


@pytest.mark.usefixtures("nan_in_fresh_memory")
def test_writing_into_fresh_memory_can_overflow() -> None:
    """The copy into half precision is at fault, not what stood there before."""
    found = found_between(lambda x: torch.empty(x.shape, dtype=torch.half).copy_(x * 1e6).float())
    assert (found.op, found.module) == ("aten.copy_", "middle")
    assert found.origin is not None
    assert found.origin.reason == "overflows float16"
