"""Saves and restores parameters and the state of their torch optimiser: Adam, or SGD, which has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from trainers.engines.protocol import State

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # names in torch.optim.Adam


def copied(tensor: Tensor) -> NDArray[Any]:
    """A copy in main memory."""
    array: NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return array


def adam_state(parameters: Mapping[str, Parameter], optimizer: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """Copies of the parameters by name, and of their moments (`NAME.exp_avg`, ...) if they have had a gradient."""
    copies = {name: copied(parameter) for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        copies |= {f"{name}.{kind}": copied(value) for kind, value in optimizer.state[parameter].items()}
    return copies


def put_parameters(parameters: Mapping[str, Parameter], state: State) -> None:
    """Replace the values of the parameters.

    Raises:
        KeyError, ValueError: a name is missing, or an array has another shape or type.
    """
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(_like(parameter, name, state))


def put_adam_state(parameters: Mapping[str, Parameter], optimizer: torch.optim.Optimizer, state: State) -> None:
    """Replace parameters and moments by a result of `adam_state`.

    Raises:
        KeyError, ValueError: a name is missing, or an array has another shape or type.
    """
    put_parameters(parameters, state)
    for name, parameter in parameters.items():
        if f"{name}.step" in state:
            step = torch.from_numpy(np.array(state[f"{name}.step"]))  # Adam keeps it in main memory
            moments = {kind: _like(parameter, f"{name}.{kind}", state).to(parameter.device) for kind in MOMENTS[1:]}
            optimizer.state[parameter] = {"step": step, **moments}


def _like(parameter: Parameter, name: str, state: State) -> Tensor:
    """The array `name` of a state as a tensor, after a check of its shape and type."""
    array = state[name]
    if array.shape != tuple(parameter.shape) or array.dtype != np.float32:
        raise ValueError(f"{name} is {array.dtype}{array.shape}, not float32{tuple(parameter.shape)}")
    return torch.from_numpy(np.array(array))
