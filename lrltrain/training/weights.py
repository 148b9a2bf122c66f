"""The trainable weights of K adapters, or of a whole model, as flat tensors (K, n)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8
MAX_GRADIENT_NORM = 1.0  # maximum norm of an adapter's gradient, as in the trainer of transformers
_NORM = re.compile(r"(norm|(^|\.)ln)[^.]*(\.\d+)?\.\w+$")  # layernorm.weight, h.0.ln_1.weight, layer_norm1.0.weight
# Loss scaling in fp16: a scale is halved when gradients overflow, and doubled after GROWN_AFTER steps without overflow.
SCALE, GROWN_AFTER = 2.0**15, 2_000


@dataclass(frozen=True)
class Rates:
    """Peak learning rate, share of the steps in which it rises, and weight decay, which applies to matrices only."""

    learning_rate: float
    warmup: float
    weight_decay: float

    def at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 0: it rises linearly, then falls linearly to zero."""
        rising = -(-steps * self.warmup // 1)
        share = step / max(1, rising) if step < rising else max(0.0, (steps - step) / max(1, steps - rising))
        return self.learning_rate * share


class Weights:
    """The trainable parameters, as views (K, n), with their gradients and AdamW's moments.

    The parameters of a stack of K adapters have shape (K, ...); for a whole model, K = 1. Each adapter's gradient is
    clipped by its own norm, and AdamW works elementwise, so each adapter trains as it would alone. With `half`, for
    fp16, the loss of each adapter is scaled separately.
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
        self._fitted = torch.zeros(count, device=self.device)  # steps since the last overflow or growth of the scale
        self._half = half
        self._rate = torch.zeros((), device=self.device)

    def optimizer(self, rates: Rates) -> None:
        """Create the optimizer."""
        groups = [
            {
                "params": [
                    parameter for parameter, decays in zip(self.flat, self._decays, strict=True) if decays == with_decay
                ],
                "weight_decay": rates.weight_decay if with_decay else 0.0,
            }
            for with_decay in (True, False)
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
        for group in self._adam.param_groups:  # a checkpoint needs the state before the first step
            for parameter in group["params"]:
                moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                self._adam.state[parameter] = {"step": torch.zeros((), device=self.device), **moments}

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        if self.device.type == "cuda":
            self._rate.fill_(rate)
            return
        for group in self._adam.param_groups:
            group["lr"] = rate

    @torch.no_grad()
    def update(self) -> Tensor:
        """Clip the gradients, take a step and clear them. Returns the norm of each adapter's gradient, (K,)."""
        gradients = [parameter.grad for parameter in self.flat if parameter.grad is not None]
        if self._half:
            for gradient in gradients:
                gradient.div_(self.scale[:, None])
        if self.count == 1:
            norm = torch.stack(torch._foreach_norm(gradients)).norm()[None]  # noqa: SLF001 -- as clip_grad_norm_ does
        else:
            norm = torch.stack([torch.linalg.vector_norm(gradient, dim=1) for gradient in gradients]).norm(dim=0)
        finite = norm.isfinite()
        if self._half:  # a step whose gradients overflow is skipped, and the next has a smaller scale
            for gradient in gradients:
                gradient.copy_(torch.where(finite[:, None], gradient, 0.0))
            norm = torch.where(finite, norm, 0.0)  # a NaN would make the factor below NaN
            self._rescale(finite)
        factor = (MAX_GRADIENT_NORM / (norm + 1e-6)).clamp(max=1.0)
        if self.count == 1:
            torch._foreach_mul_(gradients, factor[0])
        else:
            for gradient in gradients:
                gradient.mul_(factor[:, None])
        self._step(finite)
        torch._foreach_zero_(gradients)
        return norm

    def _step(self, finite: Tensor) -> None:
        """Take the step. In fp16, the weights and moments of adapters with non-finite gradients do not change."""
        if not self._half:
            self._adam.step()
        elif self.count == 1:  # the optimizer skips the step, as with GradScaler: a copy of the model is large
            self._adam.found_inf = (~finite[0]).float()  # type: ignore[attr-defined]
            self._adam.step()
            for count in self.steps():  # the optimizer did not count the skipped step, but a resumed run counts all
                count.add_(~finite[0])
        else:
            saved = [(tensor, tensor.clone()) for tensor in self._changed()]
            self._adam.step()
            for tensor, before in saved:
                tensor.copy_(torch.where(finite[:, None], tensor, before))

    def _rescale(self, finite: Tensor) -> None:
        """Set the scale of the next step, like `torch.amp.GradScaler`, but per adapter and without leaving the GPU."""
        self._fitted.copy_(torch.where(finite, self._fitted + 1, 0.0))
        grows = self._fitted >= GROWN_AFTER
        self.scale.mul_(torch.where(finite, torch.where(grows, 2.0, 1.0), 0.5)).clamp_(max=SCALE)
        self._fitted.copy_(torch.where(grows, 0.0, self._fitted))

    def _changed(self) -> Iterator[Tensor]:
        """Yield the tensors that the optimizer changes: weights and moments, (K, n) each."""
        for parameter in self.flat:
            yield parameter.detach()
            yield from (self._adam.state[parameter][name] for name in ("exp_avg", "exp_avg_sq"))

    def tensors(self, adapter: int) -> dict[str, Tensor]:
        """Return the content of a checkpoint: the weights and moments of one adapter by name, as views."""
        tensors = {}
        for index, parameter in enumerate(self.flat):
            state = self._adam.state[parameter]
            tensors[f"weights.{index}"] = parameter.detach()[adapter]
            tensors |= {f"{name}.{index}": state[name][adapter] for name in ("exp_avg", "exp_avg_sq")}
        return tensors | {"scale": self.scale[adapter]} | ({"fitted": self._fitted[adapter]} if self._half else {})

    def set_step(self, step: int) -> None:
        """Set the number of steps taken, when a run is resumed."""
        for count in self.steps():
            count.fill_(step)

    def steps(self) -> list[Tensor]:
        """Return the optimizer's step counters."""
        return [state["step"] for state in self._adam.state.values()]

    def state(self) -> list[Tensor]:
        """Return everything that changes in a step: weights, moments, gradients, scale and step counters."""
        tensors = [self.scale, self._fitted, *self.steps()]
        for adapter in range(self.count):
            tensors += self.tensors(adapter).values()
        return tensors + [parameter.grad for parameter in self.flat if parameter.grad is not None]

    def values(self, adapter: int) -> list[Tensor]:
        """Return the weights of one adapter, as views."""
        return [parameter.detach()[adapter] for parameter in self.flat]

    @torch.no_grad()
    def put(self, adapter: int, values: Iterable[Tensor]) -> None:
        """Set the weights of one adapter."""
        for parameter, value in zip(self.flat, values, strict=True):
            parameter[adapter].copy_(value)


def _is_plain(name: str) -> bool:
    """Return whether a parameter gets no weight decay: a bias or norm, as in the trainer of transformers."""
    return name.endswith("bias") or _NORM.search(name.lower()) is not None


def _rows(parameter: nn.Parameter, count: int) -> nn.Parameter:
    """Return a view (count, n) of a parameter; allocate a gradient that both share."""
    flat = nn.Parameter(parameter.data.view(count, -1))
    flat.grad = torch.zeros_like(flat)
    parameter.grad = flat.grad.view(parameter.shape)
    return flat
