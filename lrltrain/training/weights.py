"""What trains: the weights of K adapters, or of a whole model, as flat tensors (K, n)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8
CLIPPED = 1.0  # norm of an adapter's gradient, as the trainer of transformers has it
_NORM = re.compile(r"(norm|(^|\.)ln)[^.]*(\.\d+)?\.\w+$")  # layernorm.weight, h.0.ln_1.weight, layer_norm1.0.weight
# Of the loss in fp16: halved for an adapter whenever its gradients overflow, doubled after so many steps without that.
SCALE, GROWN_AFTER = 2.0**15, 2_000


@dataclass(frozen=True)
class Rates:
    """Peak learning rate, share of the steps in which it rises, and weight decay, which is of matrices alone."""

    learning_rate: float
    warmup: float
    weight_decay: float

    def at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, from 0: it rises linearly, and falls linearly to zero."""
        rising = -(-steps * self.warmup // 1)
        share = step / max(1, rising) if step < rising else max(0.0, (steps - step) / max(1, steps - rising))
        return self.learning_rate * share


class Weights:
    """The parameters that train, as views (K, n), with their gradients and AdamW's moments.

    Of a stack of K adapters the parameters are (K, ...); those of a whole model are K = 1. Each adapter's gradient is
    clipped by its own norm, and AdamW works on each number alone: each adapter is trained as it would be alone. With
    `half`, for fp16, the loss is scaled, for each adapter apart.
    """

    def __init__(
        self, parameters: Sequence[tuple[str, nn.Parameter]], count: int, *, stacked: bool, half: bool = False
    ) -> None:
        self.count = count
        self.device = parameters[0][1].device
        rows = count if stacked else 1
        self.flat = [_rows(parameter, rows) for _, parameter in parameters]
        self._decays = [not _is_plain(name) for name, _ in parameters]
        self.scale = torch.full((count,), SCALE if half else 1.0, device=self.device)
        self._fitted = torch.zeros(count, device=self.device)  # steps since the last overflow, or growth
        self._half = half
        self._rate = torch.zeros((), device=self.device)

    def optimizer(self, rates: Rates) -> None:
        """Make the optimizer."""
        groups = [
            {
                "params": [each for each, decays in zip(self.flat, self._decays, strict=True) if decays == decayed],
                "weight_decay": rates.weight_decay if decayed else 0.0,
            }
            for decayed in (True, False)
        ]
        on_gpu = self.device.type == "cuda"
        self._adam = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=self._rate if on_gpu else 0.0,
            betas=BETAS,
            eps=EPSILON,
            fused=True,
            capturable=on_gpu,
        )
        for group in self._adam.param_groups:  # so that what a checkpoint holds is there from the first step on
            for each in group["params"]:
                moments = {name: torch.zeros_like(each) for name in ("exp_avg", "exp_avg_sq")}
                self._adam.state[each] = {"step": torch.zeros((), device=self.device), **moments}

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        if self.device.type == "cuda":
            self._rate.fill_(rate)
            return
        for group in self._adam.param_groups:
            group["lr"] = rate

    @torch.no_grad()
    def update(self) -> Tensor:
        """Clip, step, and clear the gradients. Returns the norm of each adapter's gradient, (K,)."""
        gradients = [each.grad for each in self.flat if each.grad is not None]
        if self._half:
            for gradient in gradients:
                gradient.div_(self.scale[:, None])
        if self.count == 1:
            norm = torch.stack(torch._foreach_norm(gradients)).norm()[None]  # noqa: SLF001 -- as clip_grad_norm_ does
        else:
            norm = torch.stack([torch.linalg.vector_norm(gradient, dim=1) for gradient in gradients]).norm(dim=0)
        fits = norm.isfinite()
        if self._half:  # a step whose gradients overflow is left out, and the next is scaled less
            for gradient in gradients:
                gradient.copy_(torch.where(fits[:, None], gradient, 0.0))
            norm = torch.where(fits, norm, 0.0)  # of a NaN, the factor below would be one too
            self._rescale(fits)
        factor = (CLIPPED / (norm + 1e-6)).clamp(max=1.0)
        if self.count == 1:
            torch._foreach_mul_(gradients, factor[0])
        else:
            for gradient in gradients:
                gradient.mul_(factor[:, None])
        self._step(fits)
        torch._foreach_zero_(gradients)
        return norm

    def _step(self, fits: Tensor) -> None:
        """Take the step; in fp16 weights and moments of an adapter stay where its gradients do not fit, (K,)."""
        if not self._half:
            self._adam.step()
        elif self.count == 1:  # the optimizer does it, as GradScaler tells it: copies of a whole model would be large
            self._adam.found_inf = (~fits[0]).float()  # type: ignore[attr-defined]
            self._adam.step()
            for each in self.steps():  # which it has taken back; a run that goes on counts all steps
                each.add_(~fits[0])
        else:
            kept = [(each, each.clone()) for each in self._changed()]
            self._adam.step()
            for each, before in kept:
                each.copy_(torch.where(fits[:, None], each, before))

    def _rescale(self, fits: Tensor) -> None:
        """Set the scale of the next step, as `torch.amp.GradScaler` does, but for each adapter: in the GPU's memory."""
        self._fitted.copy_(torch.where(fits, self._fitted + 1, 0.0))
        grows = self._fitted >= GROWN_AFTER
        self.scale.mul_(torch.where(fits, torch.where(grows, 2.0, 1.0), 0.5)).clamp_(max=SCALE)
        self._fitted.copy_(torch.where(grows, 0.0, self._fitted))

    def _changed(self) -> Iterator[Tensor]:
        """Yield what the optimizer changes: weights and moments, (K, n) each."""
        for each in self.flat:
            yield each.detach()
            yield from (self._adam.state[each][name] for name in ("exp_avg", "exp_avg_sq"))

    def tensors(self, number: int) -> dict[str, Tensor]:
        """Return the weights and moments of one adapter, by name, as views: what a checkpoint holds."""
        found = {}
        for place, each in enumerate(self.flat):
            state = self._adam.state[each]
            found[f"weights.{place}"] = each.detach()[number]
            found |= {f"{name}.{place}": state[name][number] for name in ("exp_avg", "exp_avg_sq")}
        return found | {"scale": self.scale[number]} | ({"fitted": self._fitted[number]} if self._half else {})

    def set_step(self, step: int) -> None:
        """Say how many steps were taken, of a run that goes on."""
        for count in self.steps():
            count.fill_(step)

    def steps(self) -> list[Tensor]:
        """Return the optimizer's own counts of steps."""
        return [state["step"] for state in self._adam.state.values()]

    def state(self) -> list[Tensor]:
        """Return all that changes in a step: weights, moments, gradients, scale and counts of steps."""
        found = [self.scale, self._fitted, *self.steps()]
        for number in range(self.count):
            found += self.tensors(number).values()
        return found + [each.grad for each in self.flat if each.grad is not None]

    def values(self, number: int) -> list[Tensor]:
        """Return the weights of one adapter, as views."""
        return [each.detach()[number] for each in self.flat]

    @torch.no_grad()
    def put(self, number: int, values: Iterable[Tensor]) -> None:
        """Set the weights of one adapter."""
        for each, value in zip(self.flat, values, strict=True):
            each[number].copy_(value)


def _is_plain(name: str) -> bool:
    """Return whether a parameter gets no weight decay: biases and norms, as the trainer of transformers has it."""
    return name.endswith("bias") or _NORM.search(name.lower()) is not None


def _rows(parameter: nn.Parameter, count: int) -> nn.Parameter:
    """Return a view (count, n) of a parameter, and give both a gradient."""
    flat = nn.Parameter(parameter.data.view(count, -1))
    flat.grad = torch.zeros_like(flat)
    parameter.grad = flat.grad.view(parameter.shape)
    return flat
