"""Bundles: a bundle is a zip file with a study's definition, trials, verdict, configs and report, to give to others.

It has no data, no vectors and no figures by user.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from hpo.confirmation.outcome import CONFIRM, Confirmation, confirmation
from hpo.reporting.export import TRIALS, config_names, export_trials
from hpo.reporting.figures import pictures
from hpo.reporting.league_files import LEAGUE_FILES
from hpo.reporting.overview import Overview
from hpo.reporting.pages import HTML, MARKDOWN, write_report
from hpo.runs.provenance import Provenance, provenance
from hpo.runtime.typed_files import Stored
from hpo.storage.journal import JOURNAL
from hpo.storage.open import open_storage
from hpo.study.attributes import LOST, WORKER
from hpo.study.definition import STUDY_ID, name_metrics
from hpo.study.names import BEST, BEST_TRIAL, WINNER, check_name, names_of_searches
from hpo.study.spec import StudySpec
from hpo.study.stored import find_study, is_ours, stored_rivals, stored_spec
from trainers.errors import InputError, first_line
from trainers.files import check_regular, write_bytes, writing
from trainers.text import shown
from trainers.yaml_files import parse_yaml, read_yaml, to_yaml

CONTENTS, STUDY_FILE = "contents.yaml", "study.yaml"
FILES = (STUDY_FILE, JOURNAL, CONFIRM, WINNER, BEST, BEST_TRIAL, TRIALS, *LEAGUE_FILES, MARKDOWN, HTML)
RIVAL_FILE = re.compile(r"best-\w{1,100}\.yaml", re.ASCII)  # as `best_of_rival` names it, for any loss
TIME = (1980, 1, 1, 0, 0, 0)  # the date of every member; contents.yaml has the real one
LARGEST = 500_000_000  # bytes unpacked, all members together
REMEDY = "ask for the bundle again"
AS_IT_WAS = "unzip it for the report of the version that made it"


class Contents(Stored):
    """The table of contents of a bundle.

    Attributes:
        study, study_id: the name and the id of the study.
        searches: the studies in its journal: this one, its repeats and its rivals, as far as they have run.
        sha256: the checksum of each other member by its name.
        environment: the versions that wrote the bundle. The files name the versions that computed the figures.
    """

    FORMAT: ClassVar[int] = 1
    study: str
    study_id: str
    searches: list[str]
    sha256: dict[str, str]
    environment: Provenance


def write_bundle(study: optuna.Study, storage: BaseStorage, folder: Path, path: Path) -> Contents:
    """Write a bundle: a study, and the searches that its verdict is based on.

    Args:
        folder: the study's folder with its results.
        path: the file to write. An existing file is replaced.

    Raises:
        InputError: the study or its confirm.yaml is damaged, or the file cannot be written.
    """
    spec = stored_spec(study)
    with TemporaryDirectory() as scratch:
        made = Path(scratch)
        there = optuna.get_all_study_names(storage)
        searched = [find_study(storage, name) for name in _searches(spec, stored_rivals(study)) if name in there]
        ours = [each for each in searched if is_ours(each)]
        copies = open_storage(str(made / JOURNAL))
        for each in ours:
            _copy(each, copies)
        confirmation(folder, study)  # raises an error that names the file
        for name in (CONFIRM, *LEAGUE_FILES, *config_names()):
            if (folder / name).exists():
                (made / name).write_bytes((folder / name).read_bytes())
        (made / STUDY_FILE).write_text(spec.as_file(), encoding="utf-8")
        export_trials(study, made / TRIALS)
        overview = Overview.of(spec, find_study(copies, spec.name), made)
        write_report(overview, pictures(overview), made)
        files = {each.name: each.read_bytes() for each in sorted(made.iterdir()) if is_member(each.name)}
    contents = Contents(
        study=spec.name,
        study_id=str(study.user_attrs[STUDY_ID]),
        searches=[each.study_name for each in ours],
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        environment=provenance(),
    )
    write_bytes(path, _zipped({CONTENTS: to_yaml(contents.to_dict()).encode(), **files}))
    return contents


def _searches(spec: StudySpec, rivals: Iterable[StudySpec]) -> list[str]:
    return [name for each in (spec, *rivals) for name in names_of_searches(each.name)]


def _copy(study: optuna.Study, storage: BaseStorage) -> None:
    """Copy a study to another storage, without the dashboard's attributes and without the names of its machines."""
    copy = optuna.create_study(study_name=study.study_name, storage=storage, directions=study.directions)
    name_metrics(copy, study.metric_names or [])
    for key, value in study.user_attrs.items():
        copy.set_user_attr(key, value)
    for trial in study.get_trials():
        trial.user_attrs.pop(WORKER, None)
        if trial.state is TrialState.RUNNING:  # kept, since the numbers of later trials depend on it
            trial.state, trial.datetime_complete = TrialState.FAIL, trial.datetime_start
            trial.user_attrs[LOST] = True
        copy.add_trial(trial)


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name, content in files.items():
            packed.writestr(zipfile.ZipInfo(name, TIME), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def read_bundle(path: Path) -> tuple[Contents, dict[str, bytes]]:
    """Read a bundle, and compare the checksum of every member.

    Returns:
        The table of contents, and the content of each other member by its name.

    Raises:
        InputError: the file is missing, no bundle, damaged, of another format, or has a member that no bundle has.
    """
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as packed:
            _check_members(path, packed.infolist())
            files = {member.filename: packed.read(member) for member in packed.infolist()}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # whatever zipfile and zlib raise on foreign bytes
        raise InputError(f"{path}: is no bundle, or a damaged one ({first_line(error)}); {REMEDY}") from None
    where = f"{path}, {CONTENTS}"
    contents = Contents.from_dict(parse_yaml(files.pop(CONTENTS).decode("utf-8", "replace"), where), where, REMEDY)
    if {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} != contents.sha256:
        raise InputError(f"{path}: its files do not match the checksums in {CONTENTS}; {REMEDY}")
    check_name(contents.study)
    return contents, files


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if CONTENTS not in names:
        raise InputError(f"{path}: is no bundle of a study: it has no {CONTENTS}; hpo.export --bundle makes one")
    counts = Counter(names)
    if strange := [name for name in counts if counts[name] > 1 or not (name == CONTENTS or is_member(name))]:
        raise InputError(f"{path}: holds {shown(strange[0])}, which is not part of a bundle, or is there twice; {REMEDY}")
    if (size := sum(member.file_size for member in members)) > LARGEST:
        raise InputError(f"{path}: may have at most {LARGEST:,} bytes unpacked, and has {size:,}; {REMEDY}")


def is_member(name: str) -> bool:
    """Whether a bundle may have a member of this name, apart from its table of contents."""
    return name in FILES or RIVAL_FILE.fullmatch(name) is not None


def _is_ours(name: str) -> bool:
    """Whether a file of this name may be part of an unpacked bundle."""
    return is_member(name) or name in (CONTENTS, f".{JOURNAL}.lock")


def unpacked_folder(path: Path) -> Path:
    """The folder that a bundle is unpacked to. It is beside the bundle, and has the bundle's name without the ending.

    Raises:
        InputError: the bundle's name has no ending.
    """
    if not path.suffix:
        raise InputError(f"{path}: the folder beside it would have its name; rename it to {path.name}.zip")
    return path.with_suffix("")


def unpack(path: Path, folder: Path) -> list[Path]:
    """Write the files of a bundle into a folder. The report is written anew by this version.

    Returns:
        The paths of the report's files.

    Raises:
        InputError: `read_bundle` refuses the bundle, the folder is a file or holds other files, or the study in the bundle is
            damaged.
    """
    contents, files = read_bundle(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} must be a folder or not exist, and is a file; move it away, or rename the bundle")
    if folder.exists() and (others := sorted(each.name for each in folder.iterdir() if not _is_ours(each.name))):
        raise InputError(f"{folder} holds {others[0]}, which is not part of the bundle; move it away, or rename the bundle")
    with TemporaryDirectory() as scratch:
        made = Path(scratch)
        for name, content in {CONTENTS: to_yaml(contents.to_dict()).encode(), **files}.items():
            (made / name).write_bytes(content)
        study = find_study(open_storage(str(made / JOURNAL), create=False, to_write=False), contents.study)
        spec = stored_spec(study)  # this imports a user's own loss, which the confirmation may have, too
        if CONFIRM in files:  # it may have an older format
            Confirmation.from_dict(read_yaml(made / CONFIRM, is_sealed=True), f"{path}, {CONFIRM}", AS_IT_WAS)
        overview = Overview.of(spec, study, made)
        written = [each.name for each in write_report(overview, pictures(overview), made)]
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for old in [*folder.iterdir()]:
                old.unlink()
            for each in made.iterdir():
                shutil.copyfile(each, folder / each.name)
    return [folder / name for name in written]
