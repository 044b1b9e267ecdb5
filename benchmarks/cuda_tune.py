"""How long the parts of the CUDA engine take, and how this depends on the sizes of its programs. Needs a CUDA device.

    python -m benchmarks.cuda_tune [--data-dir D] [--losses mml,bsl] [--lanes 8] [--parts rows,update,wide,evaluate,epochs]

It prints the microseconds of train_rows and update_rows in a step, for several sizes. The model has trained for some epochs,
and each size starts from the same tables. It then prints the kernels of an evaluation, for several sizes of its blocks, and
the time that the host adds to an epoch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.cuda_engine import seconds
from benchmarks.engines import SPLIT_SEED, published_config
from trainers import Interactions, TrainConfig, hold_out, load_dataset
from trainers.engines.triton_engine import ranks, step
from trainers.engines.triton_engine.engine import TritonEngine
from trainers.engines.triton_engine.pool import GRAPH_STEPS, Pool

EPOCHS = 3  # trained before the first measurement
STEPS, REPLAYS = 48, 8
ROWS = [(4, 8), (2, 16), (2, 8), (1, 8), (1, 4)]  # warps, negatives at once
WIDE_ROWS = [(2, 8), (4, 8), (4, 16)]  # the same with 800 negatives
UPDATES = [(4, 16, 128), (4, 8, 128), (4, 4, 128), (4, 8, 256)]  # warps, rows at once, programs
BLOCKS = [2**25, 2**27, 2**28]  # scores in a block of an evaluation


def kernel_times(call: Callable[[], object]) -> dict[str, float]:
    """Microseconds of device time for each kernel."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        call()
        torch.cuda.synchronize()
    times: dict[str, float] = {}
    for event in found.key_averages():
        times[event.key] = times.get(event.key, 0.0) + float(event.self_device_time_total)
    return {name: spent for name, spent in sorted(times.items(), key=lambda line: -line[1]) if spent}


def wall(call: Callable[[], object], repeats: int = 3) -> float:
    """Median milliseconds, including the work of the device."""
    return 1e3 * seconds(call, repeats)


def trained_engine(config: TrainConfig, seen: Interactions, held_out: Interactions, lanes: int) -> TritonEngine:
    engine = TritonEngine(seen, held_out, (), "cuda", lanes)
    for lane in range(lanes):
        engine.start(lane, config.replace(epochs=100))  # one seed, as in the trials of a study
    for _ in range(EPOCHS):
        started = time.perf_counter()
        results = engine.epoch()
        spent = 1e3 * (time.perf_counter() - started)
        print(f"  epoch {results[0].epoch}: {spent:.0f} ms for {lanes} lanes, {results[0].metrics}")
    return engine


def copy_of(pool: Pool) -> Pool:
    """Another pool with the same state. Its kernels are compiled for the current sizes of `step`."""
    other = Pool(pool.seen, pool.shape, len(pool.steps_done), pool.device)
    other.configs, other.steps_done = dict(pool.configs), list(pool.steps_done)
    for mine, theirs in zip(state_of(other), state_of(pool), strict=True):
        mine.copy_(theirs)
    other.begin_epoch(dict.fromkeys(other.configs, EPOCHS))
    return other


def state_of(pool: Pool) -> list[torch.Tensor]:
    tables = [array for table in (pool.users, pool.items) for array in (*table[:-3],)]  # work lists depend on the sizes
    return [*tables, pool.lanes.float_params, pool.lanes.settings]


def repeated(call: Callable[[], None], n: int) -> Callable[[], None]:
    def calls() -> None:
        for _ in range(n):
            call()

    return calls


def with_sizes(pool: Pool, sizes: dict[str, Any]) -> str:
    """Microseconds of a step: for both kernels, and in wall time when the step is replayed from a graph."""
    before = {name: getattr(step, name) for name in sizes}
    try:
        for name, value in sizes.items():
            setattr(step, name, value)
        other = copy_of(pool)
        assert other.graph is not None  # a CUDA device has a graph
        replayed = 1e3 * wall(repeated(other.graph.replay, REPLAYS)) / REPLAYS / GRAPH_STEPS
        times = kernel_times(repeated(other._step, STEPS))
        kernels = "".join(f"  {name} {times.get(name, 0.0) / STEPS:6.1f}" for name in ("train_rows", "update_rows"))
        return f"{kernels}  step {replayed:6.1f}"
    except Exception as error:  # for example too many registers: the next sizes may work
        return f"  {type(error).__name__}: {str(error).splitlines()[0][:120]}"
    finally:
        for name, value in before.items():
            setattr(step, name, value)


def tune_evaluation(engine: TritonEngine) -> None:
    pool = next(iter(engine.pools.values()))
    users, items = engine._ranking(pool, 0)
    before = ranks.BLOCK_SCORES
    for size in BLOCKS:
        ranks.BLOCK_SCORES = size
        engine.rankers.clear()
        engine._start_evaluation(pool, 0)
        one, all_ = wall(lambda: engine._metrics(engine._start_evaluation(pool, 0))), wall(lambda: look_at_all(engine))
        lanes = len(pool.configs)
        print(
            f"evaluation in blocks of 2^{size.bit_length() - 1} scores: {one:.1f} ms, {all_ / lanes:.1f} of {lanes}", flush=True
        )
    ranks.BLOCK_SCORES = before
    engine.rankers.clear()
    held_out = engine.held_out
    assert held_out is not None  # set by `trained_engine`
    engine._ranks(users, items, held_out)
    for name, spent in list(kernel_times(lambda: engine._ranks(users, items, held_out)).items())[:6]:
        print(f"  {spent / 1e3:7.2f} ms  {name[:100]}")
    print(f"  the vectors themselves: {wall(lambda: engine._ranking(pool, 0)):.2f} ms", flush=True)


def look_at_all(engine: TritonEngine) -> None:
    pool = next(iter(engine.pools.values()))
    looks = [engine._start_evaluation(pool, lane) for lane in pool.configs]
    for look in looks:
        engine._metrics(look)


def time_epochs(engine: TritonEngine) -> None:
    """The time of an epoch, and the part of it in which the device works."""
    pool = next(iter(engine.pools.values()))
    epochs = dict.fromkeys(pool.configs, EPOCHS)
    print(f"telling the device about an epoch: {wall(lambda: pool.begin_epoch(epochs)):.1f} ms")
    found = [wall(partial(pool.epoch, dict.fromkeys(epochs, EPOCHS + number)), 1) for number in range(3)]
    print(f"an epoch, with that: {statistics.median(found):.1f} ms for {len(epochs)} lanes")
    pool.lanes.int_params.zero_()
    print(f"the same launches with nothing to do: {wall(pool.run_steps):.1f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--losses", default="mml,bsl")
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--parts", default="rows,update,wide,evaluate,epochs")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    seen, held_out = hold_out(load_dataset("yelp2018", arguments.data_dir).train, seed=SPLIT_SEED)
    print(f"yelp2018, {torch.cuda.get_device_name()}, torch {torch.__version__}, {arguments.lanes} lanes; microseconds a step")
    for name in arguments.losses.split(","):
        print(name)
        engine = trained_engine(published_config(name, "yelp2018"), seen, held_out, arguments.lanes)
        pool = next(iter(engine.pools.values()))
        if "rows" in parts:
            for warps, chunk in ROWS:
                label = f"{name} train_rows, {warps} warps, {chunk} negatives at once:"
                print(label, with_sizes(pool, {"ROW_WARPS": warps, "CHUNK": chunk}), flush=True)
        if "wide" in parts and name == "mml":
            its = published_config(name, "yelp2018").replace(negatives={"name": "uniform", "count": 800})
            wide = next(iter(trained_engine(its, seen, held_out, arguments.lanes).pools.values()))
            for warps, chunk in WIDE_ROWS:
                label = f"{name} train_rows, N = 800, {warps} warps, {chunk} negatives at once:"
                print(label, with_sizes(wide, {"WIDE_WARPS": warps, "WIDE_CHUNK": chunk}), flush=True)
        if "update" in parts:
            for warps, tile, programs in UPDATES:
                label = f"{name} update_rows, {warps} warps, {tile} rows at once, {programs} programs:"
                print(label, with_sizes(pool, {"UPDATE_WARPS": warps, "TILE": tile, "PROGRAMS": programs}), flush=True)
        if "evaluate" in parts:
            tune_evaluation(engine)
        if "epochs" in parts:
            time_epochs(engine)


if __name__ == "__main__":
    main()
