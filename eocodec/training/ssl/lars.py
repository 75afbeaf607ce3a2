"""LARS (You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class LARS(torch.optim.Optimizer):
    """Gradient descent with momentum whose step in each layer is relative to the norm of its weights.

    A layer with weights w and gradient g moves by ``learning_rate * trust * |w| / (|g| + weight_decay * |w|)``
    times ``g + weight_decay * w``, with momentum. Biases and the parameters of normalisations (at most one
    axis) are neither decayed nor scaled.

    Parameters
    ----------
    model : nn.Module
    learning_rate, momentum, weight_decay, trust : float
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        trust: float,
    ) -> None:
        parameters = list(model.parameters())
        weights = [p for p in parameters if p.ndim > 1]
        others = [p for p in parameters if p.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": weight_decay, "scaled": True},
            {"params": others, "weight_decay": 0.0, "scaled": False},
        ]
        super().__init__(groups, {"lr": learning_rate, "momentum": momentum, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move the parameters by their gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = parameter.grad.add(parameter, alpha=group["weight_decay"])
                rate = group["lr"]
                if group["scaled"]:
                    size, slope = parameter.norm(), parameter.grad.norm()
                    ratio = group["trust"] * size / (slope + group["weight_decay"] * size)
                    update *= torch.where((size > 0) & (slope > 0), ratio, 1.0)
                state = self.state[parameter]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(parameter)
                velocity = state["velocity"]
                velocity.mul_(group["momentum"]).add_(update, alpha=rate)
                parameter -= velocity
