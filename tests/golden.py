"""Numbers that were recorded, so that code which is moved changes no bit of them, and code that changes them raises a version.

On the CPU and the libraries that they were recorded on, every bit is compared. Elsewhere sums are rounded in another order, so
they need only be close. A change of the numbers on purpose raises a version in trainers/engines/cache_versions.py, so that
finished runs are trained or measured again. Then record the numbers again,

    python -m tests.golden --record

and say in the commit why. Without `--record` it prints what would change, and writes nothing. It refuses to record other
numbers under the version that they had.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import llvmlite.binding
import torch

from trainers.errors import InputError

VERSION = "cache_version"
RECORD = "python -m tests.golden --record"
VERSIONS = "trainers/engines/cache_versions.py"
MODULES = ["tests.trainers.engines.test_golden", "tests.trainers.engines.test_golden_triton", "tests.hpo.runs.test_golden"]


@dataclass(frozen=True)
class Golden:
    """A file of numbers.

    Attributes:
        file: JSON.
        libraries: whose versions the last bits depend on.
        cases: what is measured.
        measured: the numbers of a case, and under VERSION that of the code.
        is_close: whether the numbers of a case, then and now, differ as those of another CPU may.
        which: the version to raise.
    """

    file: Path
    libraries: tuple[str, ...]
    cases: Sequence[str]
    measured: Callable[[str], dict[str, Any]]
    is_close: Callable[[str, dict[str, Any], dict[str, Any]], bool]
    which: str

    def read(self) -> dict[str, Any]:
        """What the file holds."""
        return json.loads(self.file.read_text(encoding="utf-8"))

    def made_on(self) -> dict[str, str]:
        """What the last bits depend on besides the code."""
        cpu = {"cpu": llvmlite.binding.get_host_cpu_name(), "torch on cpu": torch.backends.cpu.get_cpu_capability()}
        return cpu | {package: installed(package) for package in self.libraries}

    def check(self, case: str) -> None:
        """Fail unless a case gives the numbers that were recorded."""
        golden = self.read()
        assert case in golden["numbers"], f"nothing is recorded: {RECORD}"
        then, now = golden["numbers"][case], json.loads(json.dumps(self.measured(case)))
        assert then[VERSION] == now[VERSION], f"the version has been raised: {RECORD}"
        if golden["made on"] == self.made_on():
            assert then == now, f"to the bit; else raise {self.which} in {VERSIONS}"
        else:
            assert self.is_close(case, then, now)

    def check_cases(self) -> None:
        """Fail unless there is a record of every case and of no other."""
        assert sorted(self.read()["numbers"]) == sorted(self.cases), RECORD

    def check_versions(self, then: dict[str, Any], now: dict[str, Any]) -> None:
        """Look whether a new golden file has other numbers only under a higher version.

        Raises:
            InputError: a case whose numbers have changed and whose version has not risen.
        """
        same_machine = then["made on"] == now["made on"]
        for case, record in now["numbers"].items():
            before = then["numbers"].get(case)
            if before is None or record[VERSION] > before[VERSION]:
                continue
            is_same = numbers_of(before) == numbers_of(record) if same_machine else self.is_close(case, before, record)
            if not is_same or record[VERSION] < before[VERSION]:
                raise InputError(
                    f"{case}: its numbers may not change under version {before[VERSION]}, which finished runs were stored "
                    f"under, and no version may fall (now {record[VERSION]}); raise {self.which} in {VERSIONS}"
                )

    def update(self, write: bool) -> list[str]:
        """A line for each number that is another one than in the file; `write`: record them.

        Raises:
            InputError: see `check_versions`.
        """
        then = self.read() if self.file.exists() else {"made on": {}, "numbers": {}}
        found = {"made on": self.made_on(), "numbers": {case: self.measured(case) for case in self.cases}}
        now = json.loads(json.dumps(found))
        pairs = [("made on", then["made on"], now["made on"])]
        pairs += [(case, then["numbers"].get(case, {}), record) for case, record in now["numbers"].items()]
        lines = [line for pair in pairs for line in changes(*pair)]
        lines += [f"{case}: is no longer measured" for case in then["numbers"] if case not in now["numbers"]]
        if write:
            self.check_versions(then, now)
            self.file.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        return lines


def installed(package: str) -> str:
    """The version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def numbers_of(record: dict[str, Any]) -> dict[str, Any]:
    """A record without its version."""
    return {key: value for key, value in record.items() if key != VERSION}


def changes(case: str, then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """A line for each number that is another one."""
    for key in now:
        if then.get(key) != now[key]:
            yield f"{case}: {key} was {then.get(key)}, is {now[key]}"


def main() -> None:
    """Print what has changed since the numbers were recorded, and record them again on demand."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=main.__doc__)
    parser.add_argument("--record", action="store_true", help="write the numbers of this code on this machine")
    record = parser.parse_args().record
    os.environ["TRITON_INTERPRET"] = "1"  # looked at when a kernel's module is imported
    torch.set_num_threads(1)  # as in the tests
    for module in MODULES:
        golden: Golden = import_module(module).GOLDEN
        print("\n".join(golden.update(record)) or f"{golden.file}: nothing has changed")
        if record:
            print(f"wrote {golden.file}")


if __name__ == "__main__":
    main()
