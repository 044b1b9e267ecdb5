"""LightGCN (He et al., SIGIR 2020, arXiv 2002.02126): embeddings averaged over the layers of a walk on the graph."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy import sparse
from torch import Tensor

from trainers.data import Interactions
from trainers.draws import Purpose
from trainers.encoders.base import Encoder, EncoderModule, normal_table, parameter, rows_of
from trainers.validation import SETTINGS, Whole


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class LightGCN(Encoder):
    """The mean of E, A E, ..., A^layers E: A the graph of users and items, each edge (u, i) 1 / sqrt(degree u * degree i)."""

    name: Literal["lightgcn"] = "lightgcn"
    layers: Annotated[Whole, Field(ge=1, le=8)] = 3

    def build(self, seen: Interactions, seed: int) -> EncoderModule:
        return LightGCNModule(self, seen, seed)


class LightGCNModule(EncoderModule):
    """Two embedding tables, and the graph as a sparse matrix (n_users, n_items) with its transpose."""

    graph: Tensor
    transposed: Tensor

    def __init__(self, settings: LightGCN, seen: Interactions, seed: int) -> None:
        super().__init__()
        self.layers = settings.layers
        self.users = parameter(normal_table(seed, Purpose.INIT_USERS, (seen.n_users, settings.dim), settings.init_std))
        self.items = parameter(normal_table(seed, Purpose.INIT_ITEMS, (seen.n_items, settings.dim), settings.init_std))
        graph = _normalised(seen)
        self.register_buffer("graph", _as_torch(graph), persistent=False)
        self.register_buffer("transposed", _as_torch(graph.T.tocsr()), persistent=False)

    def refresh(self) -> None:
        layers: list[tuple[Tensor, Tensor]] = [(self.users, self.items)]
        for _ in range(self.layers):
            users, items = layers[-1]
            layers.append((_product(self.graph, self.transposed, items), _product(self.transposed, self.graph, users)))
        self.final = tuple(torch.stack(parts).mean(0) for parts in zip(*layers, strict=True))

    def user_vectors(self, users: Tensor) -> Tensor:
        return rows_of(self.final[0], users)

    def item_vectors(self, items: Tensor) -> Tensor:
        return rows_of(self.final[1], items)


def _normalised(seen: Interactions) -> Any:
    """The graph (n_users, n_items) in SciPy's compressed rows, float32."""
    degrees = seen.per_user[seen.users] * seen.per_item[seen.items]
    weights = (1.0 / np.sqrt(degrees)).astype(np.float32)
    return sparse.csr_matrix((weights, seen.items, seen.indptr), shape=(seen.n_users, seen.n_items))


def _as_torch(matrix: Any) -> Tensor:
    parts: list[NDArray[Any]] = [matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        ends, columns, values = map(torch.from_numpy, parts)
        return torch.sparse_csr_tensor(ends, columns, values, size=matrix.shape, check_invariants=True)


class _Product(torch.autograd.Function):
    """A sparse matrix times a dense one, with the transpose at hand for the gradient: PyTorch would make it at every step."""

    @staticmethod
    def forward(context: Any, matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:
        context.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, context.transposed @ gradient


def _product(matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:
    product: Tensor = _Product.apply(matrix, transposed, dense)  # type: ignore[no-untyped-call]
    return product
