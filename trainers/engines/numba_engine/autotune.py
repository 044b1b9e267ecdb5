"""The number of steps and of threads of a kernel call. Neither changes the results, see `kernels`."""

from __future__ import annotations

CALL_SECONDS = 0.2  # intended time of a call: Ctrl-C and progress wait for its end
PROBE_SECONDS = 0.05  # intended time of a call with the slower number of threads
PROBE_EVERY = 12  # calls between two such calls
FIRST_STEPS = 4  # steps of the first call with each number of threads


class Autotuner:
    """Chooses between one thread and all threads by the time of earlier calls.

    All threads wait for one another at the end of every pass. If other programs use the cores, too, this is several times
    slower than one thread.
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

    def record(self, steps: int, threads: int, seconds: float) -> None:
        """Record the time of a call."""
        self.calls += 1
        self.step_seconds[threads] = max(seconds / steps, 1e-7)

    def _steps(self, seconds: float, threads: int) -> int:
        return max(1, int(seconds / self.step_seconds[threads]))
