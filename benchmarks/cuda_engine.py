"""The CUDA engine's times: see `benchmarks.engines --device cuda`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.plain import PlainLoop
from trainers import Interactions, TrainConfig
from trainers.engines.protocol import every
from trainers.engines.triton_engine.engine import TritonEngine
from trainers.engines.triton_engine.pool import Pool
from trainers.errors import OutOfMemory

LANES = {100: (1, 4, 8, 16), 800: (8,)}  # by number of negatives, for the first loss; the others have 8
EVALUATE_EVERY = 2
WARM_EPOCHS = {100: 2, 800: 1}
PLAIN_STEPS = 100
COPIED = 2**30  # bytes


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median wall time of a call, the device's work included."""
    found = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        started = time.perf_counter()
        call()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def bandwidth(device: str, repeats: int) -> float:
    """Bytes per second that a copy reads and writes."""
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * COPIED / seconds(lambda: target.copy_(source), repeats)


def bytes_read(config: TrainConfig, n_rows: int) -> int:
    """The bytes that an epoch reads at least: for each pair its user, positive and negatives, each with direction and state."""
    return n_rows * (config.negatives.count + 2) * (2 * 4 * config.encoder.dim + 12)


@dataclass(frozen=True)
class Bench:
    """The parts that all measurements share. `copy` is in bytes per second."""

    seen: Interactions
    held_out: Interactions
    device: str
    repeats: int
    copy: float


def time_lanes(name: str, config: TrainConfig, lanes: int, bench: Bench) -> float:
    """Print a line for this number of lanes. The seconds per epoch and lane are returned, with the share of the evaluation."""
    seen, repeats = bench.seen, bench.repeats
    torch.cuda.reset_peak_memory_stats()
    engine = TritonEngine(seen, bench.held_out, every(EVALUATE_EVERY), bench.device, lanes)
    warm, timed = WARM_EPOCHS[config.negatives.count], EVALUATE_EVERY * (repeats if config.negatives.count == 100 else 1)
    lane = 0
    while lane < engine.lanes:  # if they do not fit, there are fewer than were asked for
        engine.start(lane, config.replace(epochs=warm + timed + 1))
        lane += 1
    lanes = engine.lanes
    first = engine.epoch()[0].train_seconds
    for _ in range(warm - 1):
        engine.epoch()
    results = [engine.epoch() for _ in range(timed)]
    train = statistics.median(result.train_seconds for epoch in results for result in epoch)
    evaluate = statistics.median(r.evaluate_seconds for epoch in results for r in epoch if r.metrics is not None)
    pool = next(iter(engine.pools.values()))
    launch = launching(pool, repeats) / lanes
    memory = torch.cuda.max_memory_allocated() / 2**20
    share = train + evaluate / EVALUATE_EVERY
    fraction = bytes_read(config, len(seen)) / bench.copy / train
    times = "".join(f"{1e3 * value:>10.1f}" for value in (first, train, evaluate, share))
    label = f"{name:<6}{config.negatives.count:>5}{lanes:>6}"
    print(f"{label}{times}{fraction:>11.0%}{launch / train:>9.0%}{memory:>9.0f}", flush=True)
    return share


def launching(pool: Pool, repeats: int) -> float:
    """Seconds of the launches of an epoch when all lanes are idle."""
    pool.lanes.int_params.zero_()
    return seconds(pool.run_steps, repeats)


def time_plain(config: TrainConfig, bench: Bench) -> float:
    """Seconds per epoch of plain PyTorch on the same device."""
    plain = PlainLoop(bench.seen, config, bench.device)
    plain.run(PLAIN_STEPS)
    n_steps = -(-len(bench.seen) // config.batch_size)
    return seconds(lambda: plain.run(PLAIN_STEPS), bench.repeats) * n_steps / PLAIN_STEPS


def compare(configs: dict[str, TrainConfig], seen: Interactions, held_out: Interactions, device: str, repeats: int) -> None:
    """The first loss with several numbers of lanes, the others with 8; few and many negatives; and plain PyTorch."""
    bench = Bench(seen, held_out, device, repeats, bandwidth(device, repeats))
    print(f"copy: {bench.copy / 1e9:.0f} GB/s; an empty launch: {1e6 * launch_latency(device):.1f} us")
    print("milliseconds per epoch and lane, medians after the first epoch")
    print("asked/copy: bytes of rows asked for, some of which a cache gives, as a share of what a copy moves in that time")
    print("loss      N lanes     first     train  evaluate with eval asked/copy launches   MiB")
    for number, (name, config) in enumerate(configs.items()):
        for count, lanes in LANES.items():
            its = config.replace(negatives={"name": "uniform", "count": count})
            compare_one(name, its, lanes if number == 0 else (8,), bench)


def compare_one(name: str, config: TrainConfig, lanes: tuple[int, ...], bench: Bench) -> None:
    """A line for each number of lanes, and one for plain PyTorch."""
    shares, count = {}, config.negatives.count
    for n_lanes in lanes:
        try:
            shares[n_lanes] = time_lanes(name, config, n_lanes, bench)
        except OutOfMemory as error:
            print(f"{name:<6}{count:>5}{n_lanes:>6}  {error}")
    plain = time_plain(config, bench)
    ratios = ", ".join(f"{plain / share:.0f}x with {n_lanes}" for n_lanes, share in shares.items())
    print(f"{name:<6}{count:>5} plain PyTorch {plain:.2f} s an epoch; lanes: {ratios or 'none'}", flush=True)


def launch_latency(device: str, n: int = 1000) -> float:
    """Seconds per launch of a kernel that does almost nothing, one launch after the other."""
    one = torch.zeros(1, device=device)
    one.add_(1)
    return seconds(lambda: [one.add_(1) for _ in range(n)], 3) / n
