"""Losses against values and gradients in plain Python, without the tested operations of torch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from trainers import InputError, TrainConfig
from trainers.losses import (
    BPR,
    BSL,
    CCL,
    CML,
    LOSSES,
    MML,
    PSL,
    SL,
    Contrastive,
    InfoNCE,
    Loss,
    Scores,
)
from trainers.scores import unit

from ..loss_cases import CASES, ITEMS, N_ITEMS, NEGATIVE, POSITIVE, USERS, B, ByHand, N


def scores(dtype: torch.dtype = torch.float64) -> Scores:
    positive = torch.tensor(POSITIVE, dtype=dtype, requires_grad=True)
    negative = torch.tensor(NEGATIVE, dtype=dtype, requires_grad=True)
    return Scores(positive, negative, torch.tensor(USERS), torch.tensor(ITEMS), N_ITEMS)


def build(mapping: dict[str, Any]) -> Loss:
    return TrainConfig.from_dict({"loss": mapping}).loss


def check(loss: Loss, value: float, positive_gradients: list[float], negative_gradients: list[list[float]]) -> None:
    """Check the value and the gradients of a loss on the scores of `scores`."""
    batch = scores()
    got = loss(batch)
    got.backward()
    assert got.shape == (), "a loss is a scalar"
    assert got.item() == pytest.approx(value, rel=1e-12), "value"
    assert batch.positive.grad is not None
    assert batch.negative.grad is not None
    assert batch.positive.grad.tolist() == pytest.approx(positive_gradients, rel=1e-12, abs=1e-15), "gradient of the positives"
    for row, (gradients, expected) in enumerate(zip(batch.negative.grad.tolist(), negative_gradients, strict=True)):
        assert gradients == pytest.approx(expected, rel=1e-12, abs=1e-15), f"gradient of the negatives of row {row}"


def bsl_multi_by_hand(temperature: float, exponent: float) -> tuple[float, list[float], list[list[float]]]:
    """The authors' program:

    L = -log(pos / neg). pos = the mean of e^{s/t} over the rows of a user. neg = power of a mean.
    """
    exp_positive = [math.exp(score / temperature) for score in POSITIVE]
    total, positive_gradients, negative_gradients = 0.0, [0.0] * B, []
    for row in range(B):
        pool = [other for other in range(B) if USERS[other] == USERS[row]]
        positive = sum(exp_positive[other] for other in pool) / len(pool)
        exp_negative = [math.exp(score / temperature) for score in NEGATIVE[row]]
        total -= math.log(positive / (sum(exp_negative) / N) ** exponent)
        for other in pool:
            positive_gradients[other] -= exp_positive[other] / sum(exp_positive[one] for one in pool) / temperature / B
        negative_gradients.append([exponent * one / sum(exp_negative) / temperature / B for one in exp_negative])
    return total / B, positive_gradients, negative_gradients


def by_rows(loss: Loss, row: ByHand) -> tuple[float, list[float], list[list[float]]]:
    """Value and gradients of a batch: the mean or the sum over its rows."""
    share = 1.0 if loss.summed else 1.0 / B
    rows = [row(loss, positive, negatives) for positive, negatives in zip(POSITIVE, NEGATIVE, strict=True)]
    value = share * sum(loss for loss, _, _ in rows)
    return (
        value,
        [share * gradient for _, gradient, _ in rows],
        [[share * gradient for gradient in gradients] for _, _, gradients in rows],
    )


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.by_hand])
def test_value_and_gradient_agree_with_a_computation_by_hand(name: str) -> None:
    case = CASES[name]
    assert case.by_hand
    loss = build(case.settings)
    check(loss, *by_rows(loss, case.by_hand))


def test_ssm_bce_and_cml_are_sums_over_the_batch() -> None:
    assert {name for name, loss in LOSSES.items() if loss.summed} == {"ssm", "bce", "cml"}


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.needs_negatives])
def test_a_loss_has_a_case_by_hand(name: str) -> None:
    """`tests.trainers.losses.test_uniformity` has the losses without negatives."""
    by_hand = {case.settings["name"] for case in CASES.values() if case.by_hand}
    assert name in by_hand, f"add a line for {name!r} to CASES of tests/loss_cases.py, with its value by hand"


def test_a_rank_needs_the_number_of_items() -> None:
    batch = scores()
    with pytest.raises(ValueError, match="n_items"):
        CML(margin=0.6)(Scores(batch.positive, batch.negative, batch.users, batch.items))


@pytest.mark.parametrize("kind", ["paper", "program"])
def test_the_covariance_penalty_agrees_with_a_computation_by_hand(kind: Any) -> None:
    """The covariance is computed entry by entry."""
    users, items = (torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (4, 5))
    both = [*users.tolist(), *items.tolist()]
    n, dims = len(both), range(3)
    means = [sum(row[a] for row in both) / n for a in dims]
    centred = [[row[a] - means[a] for a in dims] for row in both]
    entries = [[sum(row[a] * row[b] for row in centred) / n for b in dims] for a in dims]
    norm = math.sqrt(sum(entry**2 for line in entries for entry in line))
    if kind == "paper":
        value = (norm - sum(entries[a][a] ** 2 for a in dims)) / n
        gradients = [[(entries[a][b] / norm - (2 * entries[a][a] if a == b else 0)) / n for b in dims] for a in dims]
    else:
        value = sum(entries[a][b] for a in dims for b in dims if a != b)
        gradients = [[float(a != b) for b in dims] for a in dims]
    expected = [[0.3 * 2 / n * sum(row[b] * gradients[b][a] for b in dims) for a in dims] for row in centred]
    users.requires_grad_()
    items.requires_grad_()
    got = CML(margin=1.0, covariance_weight=0.3, covariance=kind).penalty(lambda: (users, items))
    assert got is not None
    got.backward()  # type: ignore[no-untyped-call]
    assert got.item() == pytest.approx(0.3 * value, rel=1e-12)
    assert users.grad is not None
    assert items.grad is not None
    for row, gradient in zip([*users.grad.tolist(), *items.grad.tolist()], expected, strict=True):
        assert row == pytest.approx(gradient, rel=1e-10, abs=1e-14)


def test_a_loss_without_a_penalty_does_not_request_all_vectors(loss_case: dict[str, Any]) -> None:
    if not loss_case.get("covariance_weight"):
        assert build(loss_case).penalty(lambda: pytest.fail("the vectors were requested")) is None


def test_contrastive_has_no_gradient_at_distance_0() -> None:
    """The gradient of the root is infinite at distance 0. With dropout a cosine may exceed 1, where the root is imaginary."""
    negative = torch.tensor([[1.0, 1.3, 0.9]], dtype=torch.float64, requires_grad=True)
    Contrastive(margin=1.0)(Scores(torch.tensor([0.5]), negative, torch.tensor([0]), torch.tensor([0]))).backward()
    assert negative.grad is not None
    assert negative.grad[0, :2].tolist() == [0.0, 0.0]
    assert negative.grad[0, 2] > 0


def test_sl_is_bsl_with_exponent_one() -> None:
    assert SL(temperature=0.1)(scores()).item() == pytest.approx(BSL(temperature=0.1)(scores()).item(), rel=1e-14)


def test_one_infonce_negative_is_bpr_of_the_scores_over_temperature() -> None:
    """Both are log(1 + exp((s_uj - s_ui) / t))."""
    batch = scores()
    one = Scores(batch.positive, batch.negative[:, :1], batch.users, batch.items)
    scaled = Scores(batch.positive / 0.2, batch.negative[:, :1] / 0.2, batch.users, batch.items)
    assert InfoNCE(temperature=0.2)(one).item() == pytest.approx(BPR()(scaled).item(), rel=1e-12)


def test_mml_agrees_with_a_value_on_paper() -> None:
    """One row and one negative at .95: 1 * (1 - .3) + 10 * (.1 * .35 + .25 * .25 + .65 * .05) = .7 + 1.3."""
    one = Scores(torch.tensor([0.3]), torch.tensor([[0.95]]), torch.tensor([0]), torch.tensor([0]))
    loss = MML(margins=(0.6, 0.7, 0.9), weights=(0.1, 0.25, 0.65), negative_weight=10.0)
    assert loss(one).item() == pytest.approx(2.0, abs=1e-6)


def test_margins_are_cumulative() -> None:
    """The gradient of a negative is the sum of the weights of all margins below it."""
    loss = MML(margins=(0.6, 0.7, 0.9), weights=(0.1, 0.25, 0.65), positive_weight=0.0, negative_weight=1.0)
    negative = torch.tensor([[0.5, 0.65, 0.8, 0.95]], dtype=torch.float64, requires_grad=True)
    loss(Scores(torch.tensor([0.0]), negative, torch.tensor([0]), torch.tensor([0]))).backward()
    assert negative.grad is not None
    assert (negative.grad[0] * 4).tolist() == pytest.approx([0.0, 0.1, 0.35, 1.0])


def test_mml_with_one_margin_is_ccl() -> None:
    mml = MML(margins=(0.6,), weights=(1.0,), negative_weight=150.0)
    assert mml(scores()).item() == CCL(margin=0.6, negative_weight=150.0)(scores()).item()


def test_equal_margins_act_as_one() -> None:
    apart = MML(margins=(0.5, 0.8, 0.8), weights=(0.2, 0.4, 0.4), negative_weight=30.0)
    merged = MML(margins=(0.5, 0.8), weights=(0.2, 0.8), negative_weight=30.0)
    assert apart.margins == (0.5, 0.8, 0.8), "equal margins are not merged"
    assert apart(scores()).item() == pytest.approx(merged(scores()).item(), rel=1e-14)


def test_bsl_multi_agrees_with_its_formula() -> None:
    check(BSL(temperature=0.15, exponent=0.84, mode="multi"), *bsl_multi_by_hand(0.15, 0.84))


def test_bsl_multi_differs_only_by_repeated_users() -> None:
    """Without repeated users, multi is reweight with a mean instead of a sum. They differ by the constant exponent * log N."""
    batch = scores()
    alone = Scores(batch.positive, batch.negative, torch.tensor([1, 2, 3]), batch.items)
    multi, reweight = (BSL(temperature=0.2, exponent=1.3, mode=mode) for mode in ("multi", "reweight"))
    assert (reweight(alone) - multi(alone)).item() == pytest.approx(1.3 * math.log(N), rel=1e-12)
    assert abs((reweight(batch) - multi(batch)).item() - 1.3 * math.log(N)) > 0.1, "pooling must have an effect"


SOFTMAX = [
    *({"name": "bsl", "mode": mode} for mode in ("multi", "reweight", "single")),
    *({"name": name} for name in ("sl", "ssm", "infonce")),
]


@pytest.mark.parametrize("mapping", SOFTMAX, ids=lambda mapping: "-".join(mapping.values()))
def test_small_temperature_does_not_overflow(mapping: dict[str, Any]) -> None:
    """exp(1 / .01) exceeds float32. logsumexp must work nevertheless."""
    positive = torch.tensor([1.0, -1.0, -1.0], requires_grad=True)
    negative = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]], requires_grad=True)
    for temperature in (0.05, 0.01):
        loss = build(mapping | {"temperature": temperature})
        value = loss(Scores(positive, negative, torch.tensor([0, 0, 1]), torch.arange(3)))
        value.backward()
        assert value.isfinite(), f"value at temperature {temperature}: {value}"
        for scores_of in (positive, negative):
            assert scores_of.grad is not None
            assert scores_of.grad.isfinite().all(), f"gradient at temperature {temperature}"


MML_OK = {"name": "mml", "margins": [0.6, 0.8], "weights": [0.4, 0.6], "negative_weight": 10.0}
CCL_OK = {"name": "ccl", "margin": 0.9, "negative_weight": 150.0}
BSL_OK = {"name": "bsl", "temperature": 0.1}


@pytest.mark.parametrize(
    ("good", "change", "words"),
    [
        (MML_OK, {"margins": [0.8, 0.6]}, ["margins", "ascending", "[0.8, 0.6]", "sort"]),
        (MML_OK, {"weights": [0.6, 0.4]}, ["weights", "ascending", "[0.6, 0.4]"]),
        (MML_OK, {"weights": [0.4, 0.7]}, ["weights", "sum 1", "[0.4, 0.7]", "1.1", "divide"]),
        (MML_OK, {"weights": [-0.1, 1.1]}, ["weights", "non-negative", "[-0.1, 1.1]"]),
        (MML_OK, {"margins": [0.6, 1.0]}, ["margins", "[0, 1)", "[0.6, 1.0]"]),
        (MML_OK, {"margins": [-0.1, 0.6]}, ["margins", "[0, 1)", "[-0.1, 0.6]"]),
        (MML_OK, {"margins": [0.6, 0.7, 0.8]}, ["as many", "3 margins", "2 weights"]),
        (MML_OK, {"margins": [], "weights": []}, ["loss.margins", "at least 1"]),
        (MML_OK, {"margins": [0.6, math.nan]}, ["loss.margins.1", "finite", "nan"]),
        (MML_OK, {"weights": [0.4, math.inf]}, ["loss.weights.1", "finite", "inf"]),
        (MML_OK, {"negative_weight": -1.0}, ["loss.negative_weight", "greater than or equal to 0", "-1.0"]),
        (MML_OK, {"positive_weight": math.inf}, ["loss.positive_weight", "finite", "inf"]),
        (CCL_OK, {"margin": 1.0}, ["loss.margin", "less than 1", "1.0"]),
        (CCL_OK, {"margin": -0.2}, ["loss.margin", "greater than or equal to 0", "-0.2"]),
        (CCL_OK, {"negative_weight": math.nan}, ["loss.negative_weight", "finite", "nan"]),
        (BSL_OK, {"temperature": 0.0}, ["loss.temperature", "greater than 0", "0.0"]),
        (BSL_OK, {"exponent": 0.0}, ["loss.exponent", "greater than 0"]),
        (BSL_OK, {"exponent": 1.1, "mode": "single"}, ["single", "exponent", "1.1", "reweight"]),
        (BSL_OK, {"mode": "paper"}, ["mode paper", "positive_temperature", "None", "both"]),
        (BSL_OK, {"positive_temperature": 0.2}, ["mode paper", "positive_temperature", "reweight", "0.2"]),
        ({"name": "psl", "temperature": 0.1}, {"activation": "sigmoid"}, ["loss.activation", "'tanh'", "'sigmoid'"]),
        ({"name": "sl", "temperature": 0.1}, {"temperature": -1.0}, ["loss.temperature", "greater than 0", "-1.0"]),
        ({"name": "hinge"}, {"margin": 0.0}, ["loss.margin", "greater than 0", "0.0"]),
        ({"name": "bpr"}, {"margin": 1.0}, ["loss", "unknown key 'margin'"]),
        (BSL_OK, {"mode": "multy"}, ["loss.mode", "'multi'", "'multy'"]),
    ],
)
def test_invalid_settings_are_refused(good: dict[str, Any], change: dict[str, Any], words: list[str]) -> None:
    build(good)  # without the change the settings are valid
    with pytest.raises(InputError) as caught:
        build({**good, **change})
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"the message lacks {missing}: {caught.value}"


def test_settings_are_checked_without_a_config_too() -> None:
    with pytest.raises(ValidationError, match="ascending"):
        MML(margins=(0.8, 0.6), weights=(0.4, 0.6), negative_weight=10.0)


@pytest.mark.parametrize(
    "loss",
    [
        {"name": "mml", "margins": [0.0, 0.0], "weights": [0.5, 0.5], "negative_weight": 0.0},
        {"name": "mml", "margins": [0.7, 0.8, 0.9], "weights": [0.1, 0.15, 0.75], "negative_weight": 700.0},
        {"name": "mml", "margins": [0.5] * 3, "weights": [1 / 3] * 3, "negative_weight": 1},
        {"name": "mml", "margins": [0.1, 0.2], "weights": [0.0, 1.0], "positive_weight": 0.0, "negative_weight": 1.0},
    ],
    ids=["margins at zero", "published Gowalla", "thirds", "zero weights"],
)
def test_boundary_settings_are_valid(loss: dict[str, Any]) -> None:
    assert build(loss)(scores()).isfinite()


@pytest.mark.parametrize("name", LOSSES)
def test_a_line_of_the_table_has_the_name_of_its_class(name: str) -> None:
    field = LOSSES[name].__dataclass_fields__.get("name")
    remedy = f"{LOSSES[name].__name__} needs the field name: Literal[{name!r}] = {name!r}, as its line in LOSSES has it"
    assert field, remedy
    assert field.default == name, remedy


class TestContract:
    """Rules for every loss."""

    def batch(self, seed: int, formula: Loss) -> Scores:
        """Without negatives if the loss needs none; then it uses the vectors."""
        generator = torch.Generator().manual_seed(seed)
        positive = torch.rand(7, generator=generator, dtype=torch.float64) * 2 - 1
        negative = torch.rand(7, 5 if formula.needs_negatives else 0, generator=generator, dtype=torch.float64) * 2 - 1
        vectors = [unit(torch.randn(7, 3, generator=generator, dtype=torch.float64)).requires_grad_() for _ in range(2)]
        users = torch.tensor([0, 1, 2, 0, 3, 1, 0])
        return Scores(positive.requires_grad_(), negative.requires_grad_(), users, torch.arange(7), N_ITEMS, None, *vectors)

    def used(self, formula: Loss) -> list[str]:
        """The tensors of a batch that the loss depends on."""
        return ["positive", "negative"] if formula.needs_negatives else ["positive", "user_vectors", "item_vectors"]

    def test_a_loss_is_finite_and_differentiable(self, loss_case: dict[str, Any]) -> None:
        formula = build(loss_case)
        batch = self.batch(1, formula)
        value = formula(batch)
        value.backward()
        assert value.shape == ()
        assert value.isfinite()
        for name in self.used(formula):
            gradient = getattr(batch, name).grad
            assert gradient is not None, f"no gradient for {name}"
            assert gradient.isfinite().all(), f"gradient of {name}: {gradient}"
            assert gradient.abs().max() > 0, f"{name} has no effect"

    def test_the_gradient_agrees_with_finite_differences(self, loss_case: dict[str, Any]) -> None:
        formula = build(loss_case)
        batch, used = self.batch(2, formula), self.used(formula)

        def value(*tensors: torch.Tensor) -> torch.Tensor:
            return formula(replace(batch, **dict(zip(used, tensors, strict=True))))

        assert torch.autograd.gradcheck(value, [getattr(batch, name) for name in used], eps=1e-7, atol=1e-5)

    def test_a_higher_positive_never_raises_the_loss(self, loss_case: dict[str, Any]) -> None:
        formula = build(loss_case)
        batch = self.batch(3, formula)
        if loss_case["name"] == "mse":
            pytest.skip("mse pulls scores to 1 and 0, from above too")
        if loss_case["name"] == "slatk":
            pytest.skip("a higher positive has a higher weight, too")
        before = formula(batch).item()
        for row in range(7):
            raised = batch.positive.detach().clone()
            raised[row] += 0.3
            after = formula(replace(batch, positive=raised)).item()
            assert after <= before + 1e-12, f"raising the positive of row {row} raised the loss from {before} to {after}"

    def test_a_higher_negative_never_lowers_the_loss(self, loss_case: dict[str, Any]) -> None:
        formula = build(loss_case)
        batch = self.batch(4, formula)
        if loss_case["name"] == "mse":
            pytest.skip("mse pulls scores to 1 and 0, from below too")
        before = formula(batch).item()
        for index in range(batch.negative.numel()):
            raised = batch.negative.detach().clone()
            raised.view(-1)[index] += 0.3
            after = formula(replace(batch, negative=raised)).item()
            assert after >= before - 1e-12, f"raising negative {index} lowered the loss from {before} to {after}"

    def test_a_loss_is_a_mean_or_a_sum_over_the_batch(self, loss_case: dict[str, Any]) -> None:
        """If the same rows occur twice, with different users, the loss is the same or twice as high."""
        formula = build(loss_case)
        if not formula.needs_negatives:
            pytest.skip("it is a mean over pairs of rows, and the doubled batch has other pairs")
        batch = self.batch(5, formula)
        doubled = Scores(
            torch.cat([batch.positive] * 2),
            torch.cat([batch.negative] * 2),
            torch.cat([batch.users, batch.users + 10]),
            torch.cat([batch.items] * 2),
            N_ITEMS,
        )
        factor = 2.0 if formula.summed else 1.0
        assert formula(doubled).item() == pytest.approx(factor * formula(batch).item(), rel=1e-12)


def test_psl_of_far_scores_is_finite() -> None:
    """With d = -10 and -5.5, log(1 + tanh(d)) is about log 2 + 2 d. But 1 + tanh(d) is 0 in float32."""
    positive, negative = torch.tensor([20.0], requires_grad=True), torch.tensor([[0.0, 9.0]], requires_grad=True)
    loss = PSL(temperature=1.0).rows(Scores(positive, negative, torch.zeros(1), torch.zeros(1)))
    loss.sum().backward()
    assert loss.item() == pytest.approx(math.log(2.0) - 11.0, abs=2e-4)
    assert negative.grad is not None
    assert negative.grad[0].tolist() == pytest.approx([math.exp(-9.0), 1.0], rel=1e-3)
