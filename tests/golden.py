"""Recorded numbers. Refactored code must not change a bit of them. Code that changes them on purpose raises a version.

Every bit is compared on the CPU and the libraries of the record. On other machines sums are rounded in another order, so the
numbers need only be close. If you change the numbers on purpose, raise the version in trainers/engines/cache_versions.py. Then
finished runs are trained or measured again. Record the new numbers, and give the reason in the commit:

    python -m tests.golden --record

Without `--record` the command prints the changes and writes nothing. It refuses to record other numbers under an old version.
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
        file: a JSON file.
        libraries: the last bits depend on the versions of these libraries.
        cases: the names of the measured cases.
        measured: gives the numbers of a case; under VERSION the version of the code.
        is_close: whether recorded and new numbers of a case differ no more than those of two CPUs.
        which: the name of the version to raise.
    """

    file: Path
    libraries: tuple[str, ...]
    cases: Sequence[str]
    measured: Callable[[str], dict[str, Any]]
    is_close: Callable[[str, dict[str, Any], dict[str, Any]], bool]
    which: str

    def read(self) -> dict[str, Any]:
        """The content of the file."""
        return json.loads(self.file.read_text(encoding="utf-8"))

    def made_on(self) -> dict[str, str]:
        """The CPU and the versions of the libraries, because the last bits depend on them."""
        cpu = {"cpu": llvmlite.binding.get_host_cpu_name(), "torch on cpu": torch.backends.cpu.get_cpu_capability()}
        return cpu | {package: installed(package) for package in self.libraries}

    def check(self, case: str) -> None:
        """Fail if a case gives other numbers than the recorded ones."""
        golden = self.read()
        assert case in golden["numbers"], f"nothing is recorded: {RECORD}"
        then, now = golden["numbers"][case], json.loads(json.dumps(self.measured(case)))
        assert then[VERSION] == now[VERSION], f"the version has been raised: {RECORD}"
        if golden["made on"] == self.made_on():
            assert then == now, f"to the bit; else raise {self.which} in {VERSIONS}"
        else:
            assert self.is_close(case, then, now)

    def check_cases(self) -> None:
        """Fail if a case has no record, or a record has no case."""
        assert sorted(self.read()["numbers"]) == sorted(self.cases), RECORD

    def check_versions(self, then: dict[str, Any], now: dict[str, Any]) -> None:
        """Check that a new golden file has other numbers only under a higher version.

        Raises:
            InputError: the numbers of a case have changed, and its version has not risen.
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
        """A line for each changed number. `write` records the new numbers.

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
            for case, record in now["numbers"].items():  # what has not changed stays as it is written, with its order of keys
                now["numbers"][case] = then["numbers"][case] if then["numbers"].get(case) == record else record
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
    """A line for each changed number."""
    for key in now:
        if then.get(key) != now[key]:
            yield f"{case}: {key} was {then.get(key)}, is {now[key]}"


def main() -> None:
    """Print the changes since the numbers were recorded, and record the new numbers on request."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=main.__doc__)
    parser.add_argument("--record", action="store_true", help="write the numbers of this code on this machine")
    record = parser.parse_args().record
    os.environ["TRITON_INTERPRET"] = "1"  # read when the module of a kernel is imported
    torch.set_num_threads(1)  # as in the tests
    for module in MODULES:
        golden: Golden = import_module(module).GOLDEN
        print("\n".join(golden.update(record)) or f"{golden.file}: nothing has changed")
        if record:
            print(f"wrote {golden.file}")


if __name__ == "__main__":
    main()
