"""iALS: matrix factorisation by alternating least squares over all pairs, seen and unseen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from trainers.baselines.base import Baseline, Ranking, matrix
from trainers.data import Interactions
from trainers.errors import InputError
from trainers.metrics.ranking import inner_products
from trainers.stopping import ShouldStop, check, never
from trainers.validation import SETTINGS, Count, Positive, Whole

INIT_STD = 0.1  # of initial vectors; an entry has INIT_STD / sqrt(factors)
ENTRIES = 4_000_000  # floats of gathered vectors in memory


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class IALS(Baseline):
    """Implicit ALS (Hu, Koren and Volinsky, ICDM 2008) with the l2 of Rendle et al. (RecSys 2022, arXiv 2110.14037).

    Over vectors w_u and h_i (factors,) it minimises

        sum over seen (u, i) of (1 - w_u h_i)^2 + unobserved_weight sum over all (u, i) of (w_u h_i)^2
        + l2 sum_u (n_u + unobserved_weight n_items) |w_u|^2 + l2 sum_i (n_i + unobserved_weight n_users) |h_i|^2

    It solves for all users and for all items in turn, in float32.

    Attributes:
        factors: length of a vector.
        l2: weight of the squared lengths.
        unobserved_weight: weight of every pair, in addition to that of the seen ones.
        epochs: number of solutions for users and items.
        seed: seed of the initial vectors.

    `fit` raises InputError if l2 is too small to solve the equations in float32.
    """

    name: Literal["ials"] = "ials"
    factors: Count = 64
    l2: Positive = 0.003
    unobserved_weight: Positive = 0.1
    epochs: Count = 16
    seed: Annotated[Whole, Field(ge=0)] = 0

    def fit(self, seen: Interactions, should_stop: ShouldStop = never) -> Ranking:
        generator = np.random.default_rng(self.seed)
        users, items = (
            torch.from_numpy(generator.normal(0.0, INIT_STD / self.factors**0.5, (n, self.factors)).astype(np.float32))
            for n in (seen.n_users, seen.n_items)
        )
        by_user = matrix(seen)
        by_item = scipy.sparse.csr_array(by_user.T)
        for _ in range(self.epochs):
            for rows, other, of in ((users, items, by_user), (items, users, by_item)):
                self._solve(rows, other, of.indptr, of.indices, should_stop)
        weights = f"l2 {self.l2:.3g}, unobserved weight {self.unobserved_weight:.3g}"
        note = f"alternating least squares, {self.factors} factors, {weights}"
        return Ranking.of_all_items("iALS", note, seen, inner_products(users.numpy(), items.numpy()))

    def _solve(
        self,
        rows: torch.Tensor,
        other: torch.Tensor,
        indptr: NDArray[np.integer],
        indices: NDArray[np.integer],
        should_stop: ShouldStop,
    ) -> None:
        """Set each row (n, d) to the least-squares solution, given the vectors of the other side (m, d).

        Args:
            indptr, indices: the rows' interactions with the other side, as of a CSR matrix.
        """
        if not len(rows) or not len(other):
            return
        counts = np.diff(indptr).astype(np.int64)
        shared = self.unobserved_weight * (other.T @ other)
        padded = torch.cat([other, torch.zeros(1, other.shape[1])])  # the last row is for padding
        for chosen in _blocks(counts, rows.shape[1]):
            check(should_stop)
            each = np.arange(int(counts[chosen].max()))
            places = np.minimum(indptr[chosen][:, None] + each, max(len(indices) - 1, 0))
            taken = np.where(each < counts[chosen][:, None], indices[places] if len(indices) else 0, len(other))
            vectors = padded[torch.from_numpy(taken)]
            left = vectors.transpose(1, 2) @ vectors + shared
            ridge = self.l2 * (counts[chosen] + self.unobserved_weight * len(other))
            left.diagonal(dim1=1, dim2=2).add_(torch.from_numpy(ridge.astype(np.float32))[:, None])
            triangle, failed = torch.linalg.cholesky_ex(left)
            if failed.any():
                raise InputError(f"l2 must be large enough for float32, got {self.l2:g} with {self.factors} factors; raise it")
            solved = torch.cholesky_solve(vectors.sum(1)[:, :, None], triangle)
            rows[torch.from_numpy(chosen)] = solved[:, :, 0]


def _blocks(counts: NDArray[np.int64], width: int) -> Iterator[NDArray[np.int64]]:
    """Blocks of rows with similar counts, so that there is little padding."""
    order = np.argsort(counts, kind="stable")
    first = 0
    while first < len(order):
        last = first + 1
        while last < len(order) and (last + 1 - first) * max(int(counts[order[last]]), width) * width <= ENTRIES:
            last += 1
        yield order[first:last]
        first = last
