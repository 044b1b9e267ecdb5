"""Seconds per training epoch and per evaluation, compared with a plain PyTorch loop and the bare matrix product.

    python -m benchmarks.engines --dataset yelp2018 --data-dir D [--scale 10] [--repeats 3] [--losses mml,bsl]
    python -m benchmarks.engines --dataset yelp2018 --data-dir D --device cuda [--losses mml,ccl,bsl]

One process times all candidates in turns, a few seconds each, and compares them within a turn. So on a machine with other
users the ratios are reliable, and the seconds are not. The time of an epoch is extrapolated from a stated number of steps.
These follow some other steps of the first epoch, when most negatives have a gradient. `trained` is the same in the second
epoch, which is typical of the rest of a run, after as many other steps. What is timed has run once before.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numba
import numpy as np
import torch

from benchmarks.plain import PlainLoop
from trainers import Interactions, TrainConfig, evaluate, hold_out, load_dataset
from trainers.engines.numba_engine import NumbaEngine
from trainers.engines.numba_engine.autotune import Autotuner
from trainers.metrics.ranking import TILE_ITEMS, TILE_USERS
from trainers.published import published_loss

LEARNING_RATES = {"mml": 1.0e-4, "ccl": 1.0e-4, "bsl": 5.0e-4}
PLAIN_STEPS = 8
STEPS = {"mml": 300, "ccl": 300, "bsl": 60}  # of the fused engine, in each turn
SPLIT_SEED = 2024


class FusedSteps:
    """Trains single steps of an epoch of a numba engine, after some epochs and some steps of this one."""

    def __init__(self, seen: Interactions, config: TrainConfig, warm_steps: int, epochs: int = 0) -> None:
        self.engine = NumbaEngine(seen, None)
        self.engine.start(0, config)
        for _ in range(epochs):
            self.engine.epoch()
        self.arguments = self.engine._arguments(config, epochs, -(-len(seen) // config.batch_size))
        self.done = 0
        self.max_threads = numba.get_num_threads()
        self.pace = Autotuner(self.max_threads)
        self.totals, self.counts = np.zeros(1), np.zeros(1, np.int64)
        self.run(warm_steps)

    def run(self, n_steps: int) -> None:
        """As NumbaEngine._train_epoch, but only these steps."""
        engine, end = self.engine, self.done + n_steps
        while self.done < end:
            steps, threads = self.pace.next()
            last = min(end, self.done + steps)
            numba.set_num_threads(threads)
            started = time.perf_counter()
            engine.kernel(self.arguments, engine.users, engine.items, engine.batch, self.done, last, self.totals, self.counts)
            self.pace.record(last - self.done, threads, time.perf_counter() - started)
            self.done = last
        numba.set_num_threads(self.max_threads)


@dataclass
class Turns:
    """Seconds of each candidate, one entry for each turn."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, call: Callable[[], object], scale: float = 1.0) -> None:
        started = time.perf_counter()
        call()
        self.seconds.setdefault(name, []).append((time.perf_counter() - started) * scale)

    def line(self, name: str) -> str:
        values = self.seconds[name]
        return f"{name:<16}{statistics.median(values):9.2f} s   ({min(values):.2f} to {max(values):.2f})"

    def ratio(self, slow: str, fast: str) -> str:
        values = [a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True)]
        return f"{slow} / {fast}: {statistics.median(values):.1f}x   ({min(values):.1f} to {max(values):.1f})"


def spread(seen: Interactions, scale: int) -> Interactions:
    """The same number of pairs, with `scale` times as many users and items."""
    rng = np.random.default_rng(0)
    users = seen.users.astype(np.int64) * scale + rng.integers(0, scale, len(seen))
    items = seen.items.astype(np.int64) * scale + rng.integers(0, scale, len(seen))
    return Interactions.from_pairs(users, items, seen.n_users * scale, seen.n_items * scale)


def published_config(name: str, dataset: str) -> TrainConfig:
    """A loss with its published settings for the dataset."""
    published = published_loss(name, dataset)
    assert published is not None  # each loss of LEARNING_RATES is
    return TrainConfig(loss=published[0], learning_rate=LEARNING_RATES[name])


def compare_training(name: str, config: TrainConfig, seen: Interactions, repeats: int) -> None:
    n_steps = -(-len(seen) // config.batch_size)
    steps = STEPS[name]
    warm = min(1_000, n_steps - repeats * steps)
    plain, fused, trained = PlainLoop(seen, config), FusedSteps(seen, config, warm), FusedSteps(seen, config, warm, epochs=1)
    plain.run(2)
    threads = torch.get_num_threads()
    turns = Turns()
    for _ in range(repeats):
        torch.set_num_threads(1)
        turns.time("plain, 1 thread", lambda: plain.run(PLAIN_STEPS), n_steps / PLAIN_STEPS)
        torch.set_num_threads(threads)
        turns.time("plain", lambda: plain.run(PLAIN_STEPS), n_steps / PLAIN_STEPS)
        turns.time("numba", lambda: fused.run(steps), n_steps / steps)
        turns.time("trained", lambda: trained.run(steps), n_steps / steps)
    print(f"\n{name}: seconds per epoch of {n_steps} steps (from {PLAIN_STEPS} plain and {steps} fused steps a turn)")
    print(turns.line("plain"), turns.line("plain, 1 thread"), turns.line("numba"), turns.line("trained"), sep="\n")
    print(turns.ratio("plain", "numba"), turns.ratio("plain, 1 thread", "numba"), turns.ratio("plain", "trained"), sep="\n")
    rows = " and ".join(f"{one.counts[0] / one.done:.0f}" for one in (fused, trained))
    print(f"rows caught up or updated per step: {rows} trained")


def compare_scale(name: str, config: TrainConfig, seen: Interactions, scale: int, repeats: int) -> None:
    n_steps = -(-len(seen) // config.batch_size)
    steps = STEPS[name]
    warm = min(1_000, n_steps - repeats * steps)
    wide_seen = spread(seen, scale)
    small, wide = FusedSteps(seen, config, warm), FusedSteps(wide_seen, config, warm)
    turns = Turns()
    for _ in range(repeats):
        turns.time("catalogue x 1", lambda: small.run(steps), n_steps / steps)
        turns.time(f"catalogue x {scale}", lambda: wide.run(steps), n_steps / steps)
    print(f"\n{name}: {seen.n_users:,} x {seen.n_items:,} against {wide_seen.n_users:,} x {wide_seen.n_items:,}, equal pairs")
    print(turns.line("catalogue x 1"), turns.line(f"catalogue x {scale}"), sep="\n")
    print(turns.ratio(f"catalogue x {scale}", "catalogue x 1"))
    print(f"rows per step: {small.counts[0] / small.done:.0f} against {wide.counts[0] / wide.done:.0f}")


def compare_evaluation(pairs: Interactions, repeats: int) -> None:
    seen, held_out = hold_out(pairs, seed=SPLIT_SEED)
    rng = np.random.default_rng(0)
    users = rng.normal(size=(seen.n_users, 64)).astype(np.float32)
    items = rng.normal(size=(seen.n_items, 64)).astype(np.float32)
    tile = torch.empty(TILE_USERS, TILE_ITEMS)
    blocks = torch.from_numpy(users), torch.from_numpy(items)

    def product() -> None:
        for u in range(0, seen.n_users - TILE_USERS + 1, TILE_USERS):
            for i in range(0, seen.n_items - TILE_ITEMS + 1, TILE_ITEMS):
                torch.mm(blocks[0][u : u + TILE_USERS], blocks[1][i : i + TILE_ITEMS].T, out=tile)

    product()
    evaluate(users, items, seen=seen, held_out=held_out, ks=(20,))
    turns = Turns()
    for _ in range(repeats):
        turns.time("tiled product", product)
        turns.time("evaluation", lambda: evaluate(users, items, seen=seen, held_out=held_out, ks=(20,)))
    print("\nevaluation of all users")
    print(turns.line("tiled product"), turns.line("evaluation"), turns.ratio("evaluation", "tiled product"), sep="\n")


def on_cuda(arguments: argparse.Namespace, pairs: Interactions) -> None:
    """The CUDA engine on the training data of a search."""
    from benchmarks.cuda_engine import compare  # needs triton

    seen, held_out = hold_out(pairs, seed=SPLIT_SEED)
    print(f"{arguments.dataset}, torch {torch.__version__} on {torch.cuda.get_device_name()}, {arguments.repeats} turns")
    configs = {name: published_config(name, arguments.dataset) for name in arguments.losses.split(",")}
    compare(configs, seen, held_out, arguments.device, arguments.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="yelp2018")
    parser.add_argument("--data-dir")
    parser.add_argument("--scale", type=int, default=1, help="compare with a catalogue this many times as large instead")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--losses", help="default: mml,bsl; on cuda mml,ccl,bsl")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    arguments.losses = arguments.losses or ("mml,ccl,bsl" if arguments.device == "cuda" else "mml,bsl")
    seen = load_dataset(arguments.dataset, arguments.data_dir).train
    if arguments.device == "cuda":
        if arguments.scale > 1:
            parser.error("--scale is for --device cpu")
        on_cuda(arguments, seen)
        return
    print(f"{arguments.dataset}, numba {numba.__version__} on {numba.get_num_threads()} threads, ", end="")
    print(f"torch {torch.__version__} on {torch.get_num_threads()}, {arguments.repeats} turns: median (lowest to highest)")
    for name in arguments.losses.split(","):
        config = published_config(name, arguments.dataset)
        if arguments.scale > 1:
            compare_scale(name, config, seen, arguments.scale, arguments.repeats)
        else:
            compare_training(name, config, seen, arguments.repeats)
    if arguments.scale == 1:
        compare_evaluation(seen, arguments.repeats)
    print(f"\npeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
