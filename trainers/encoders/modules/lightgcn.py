"""LightGCN as a module, see `trainers.encoders.lightgcn`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from trainers.data import Interactions
from trainers.encoders.base import normal_table
from trainers.encoders.lightgcn import LightGCN
from trainers.encoders.modules.base import EncoderModule, parameter, rows_of
from trainers.rng import Purpose


class LightGCNModule(EncoderModule):
    """Two embedding tables, and the graph (n_users, n_items) and its transpose."""

    def __init__(self, settings: LightGCN, seen: Interactions, seed: int) -> None:
        super().__init__()
        self.layers = settings.layers
        self.users = parameter(normal_table(seed, Purpose.INIT_USERS, (seen.n_users, settings.dim), settings.init_std))
        self.items = parameter(normal_table(seed, Purpose.INIT_ITEMS, (seen.n_items, settings.dim), settings.init_std))
        graph = _normalised(seen)
        self.graph, self.transposed = SparseMatrix(graph), SparseMatrix(graph.T.tocsr())

    def refresh(self) -> None:
        users: Tensor = self.users
        items: Tensor = self.items
        all_users, all_items = users, items
        for _ in range(self.layers):
            users, items = _product(self.graph, self.transposed, items), _product(self.transposed, self.graph, users)
            all_users, all_items = all_users + users, all_items + items
        self.final = all_users / (self.layers + 1), all_items / (self.layers + 1)

    def user_vectors(self, users: Tensor) -> Tensor:
        return rows_of(self.final[0], users)

    def item_vectors(self, items: Tensor) -> Tensor:
        return rows_of(self.final[1], items)


def _normalised(seen: Interactions) -> Any:
    """The normalised graph (n_users, n_items) as a SciPy CSR matrix, float32."""
    degrees = seen.per_user[seen.users] * seen.per_item[seen.items]
    weights = (1.0 / np.sqrt(degrees)).astype(np.float32)
    return sparse.csr_matrix((weights, seen.items, seen.indptr), shape=(seen.n_users, seen.n_items))


class SparseMatrix(nn.Module):
    """A sparse matrix in CSR format. Its product with a dense matrix uses PyTorch's embedding_bag, which is 3 to 4 times as
    fast on a CPU as PyTorch's sparse matrices.
    """

    columns: Tensor  # int64 (n_entries,)
    ends: Tensor  # int64 (n + 1,); row r has the entries ends[r]:ends[r + 1]
    entries: Tensor  # (n_entries,)

    def __init__(self, matrix: Any) -> None:
        super().__init__()
        parts = {"columns": matrix.indices.astype(np.int64), "ends": matrix.indptr.astype(np.int64), "entries": matrix.data}
        for name, array in parts.items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def forward(self, dense: Tensor) -> Tensor:
        """The product (n, d) with a dense matrix (m, d), without a gradient."""
        return embedding_bag(
            self.columns, dense, self.ends, mode="sum", per_sample_weights=self.entries, include_last_offset=True
        )


class _Product(torch.autograd.Function):
    """The product with the gradient computed as a product with the transpose; embedding_bag's own gradient is slower."""

    @staticmethod
    def forward(context: Any, matrix: SparseMatrix, transposed: SparseMatrix, dense: Tensor) -> Tensor:
        context.transposed = transposed
        product: Tensor = matrix(dense)
        return product

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, context.transposed(gradient.contiguous())


def _product(matrix: SparseMatrix, transposed: SparseMatrix, dense: Tensor) -> Tensor:
    product: Tensor = _Product.apply(matrix, transposed, dense)  # type: ignore[no-untyped-call]
    return product
