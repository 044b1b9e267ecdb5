"""How many steps a kernel call gets, and on how many threads. Neither changes any number: see `kernels`."""

from __future__ import annotations

CALL_SECONDS = 0.2  # that a call aims at: Ctrl-C and progress wait for it
PROBE_SECONDS = 0.05
PROBE_EVERY = 12
FIRST_STEPS = 4


class Autotuner:
    """Learns from each call. Where other programs use the cores too, threads that wait for one another at the end of every pass
    are several times slower than a single one, so one thread and all threads are tried in turn and the faster is kept.
    """

    def __init__(self, max_threads: int) -> None:
        self.options = sorted({1, max_threads}, reverse=True)
        self.step_seconds: dict[int, float] = {}
        self.calls = 0

    def next(self) -> tuple[int, int]:
        """(steps, threads) of the next call."""
        untried = [threads for threads in self.options if threads not in self.step_seconds]
        if untried:
            return FIRST_STEPS, untried[0]
        best = min(self.options, key=self.step_seconds.__getitem__)
        if len(self.options) > 1 and self.calls % PROBE_EVERY == 0:
            other = next(threads for threads in self.options if threads != best)
            return self._steps(PROBE_SECONDS, other), other
        return self._steps(CALL_SECONDS, best), best

    def took(self, steps: int, threads: int, seconds: float) -> None:
        """Note how long a call took."""
        self.calls += 1
        self.step_seconds[threads] = max(seconds / steps, 1e-7)

    def _steps(self, seconds: float, threads: int) -> int:
        return max(1, int(seconds / self.step_seconds[threads]))
