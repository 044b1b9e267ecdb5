"""Compares a study in the storage with its file, which may have changed since."""

from __future__ import annotations

from dataclasses import replace

from hpo.study.definition import differences, differences_said
from hpo.study.rivals import rivals_of
from hpo.study.spec import ALL, StudySpec, load_spec
from hpo.study.workspace import Workspace
from trainers.errors import InputError

# Keys that flags of hpo.run change, and the ranges, which --widen changes.
CHANGED_BY_FLAGS = ("name", "search.trials", "search.epochs", "search.seed", "confirm.searches", "space.ranges")


def as_its_file_says(work: Workspace, file: str) -> Workspace:
    """The workspace with the confirm plan, rivals and baselines of the study's file. Its search plan may differ by flags.

    Raises:
        InputError: the file of the study or of a rival is missing or broken, or defines another study.
    """
    spec = work.spec
    asked = load_spec(file).override({"search": spec.search.model_dump()})
    if unlike := differences(work.definition(), replace(work, spec=asked).definition()):
        raise InputError(
            f"{file} must define study {spec.name!r} as it was searched, and has changed ({differences_said(unlike)}); "
            f"restore the file, give the study by its name, --study {spec.name}, or search the changed file under another "
            "name, --study-name"
        )
    may_change = {"confirm": asked.confirm.model_dump(), "rivals": asked.rivals, "baselines": asked.baselines}
    changed = spec.override(may_change)
    if changed.rivals == spec.rivals == ALL:  # the engine of the search may have left some out
        return replace(work, spec=changed)
    found = rivals_of(changed)
    return replace(work, spec=changed, rivals=tuple(found.specs), left_out=found.left_out)


def check_unchanged(file: str, stored: StudySpec, remedy: str) -> None:
    """Check that a study file still says what the stored study says, apart from flags and ranges.

    Args:
        remedy: the end of the message.

    Raises:
        InputError: the file is missing or broken, or has changed.
    """
    found = [each for each in differences(stored, load_spec(file)) if not each.key.startswith(CHANGED_BY_FLAGS)]
    if found:
        raise InputError(
            f"{file} has changed since the search of {stored.name} ({differences_said(found)}), and --widen continues the "
            f"study as it was; {remedy}"
        )
