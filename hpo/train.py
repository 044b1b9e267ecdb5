"""`python -m hpo.train CONFIG.yaml --dataset D`: train one config, measure it on validation, save its vectors."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from hpo.cli.console import say
from hpo.cli.entry import command_parser, entry
from hpo.cli.flags import (
    OUTPUT,
    add_checkpoint_argument,
    add_data_argument,
    add_engine_arguments,
    path,
    positive,
    seed,
)
from hpo.reporting.export import REMEDY, ExportedConfig, ExportedData
from hpo.runtime.signals import Stopper
from hpo.study.names import BEST, TRAIN_FOLDER, WINNER
from hpo.study.objective import DEFAULT_OBJECTIVE, measured
from trainers import Dataset, TrainConfig, load_dataset
from trainers.checkpoints import CheckpointFile, training_key
from trainers.data import Split
from trainers.data.datasets import load_all
from trainers.data.facts import dropped_said
from trainers.data.options import DataOptions, ValidationSplit
from trainers.engines import choose_engine, make_engine
from trainers.engines.protocol import every
from trainers.engines.registry import AUTO
from trainers.errors import InputError
from trainers.files import check_new_files, writing
from trainers.recommender import Recommender
from trainers.train import Run
from trainers.validation import checked
from trainers.yaml_files import parse_yaml, read_yaml

EVALUATE_EVERY = 5  # epochs


@dataclass(frozen=True)
class ConfigFile:
    """A config file: a bare config, or an exported config with its data and figures.

    Attributes:
        data: the data of an exported config; None for a bare config.
        exported: its validation metrics; empty for a bare config, or if the config was edited since.
        is_edited: whether an exported config was edited since.
        objective: the objective of its study.
    """

    config: TrainConfig
    data: ExportedData | None
    exported: dict[str, float]
    objective: str = DEFAULT_OBJECTIVE
    is_edited: bool = False


def read_config_file(path: str) -> ConfigFile:
    """Read a config file.

    Raises:
        InputError: the file is missing, not YAML, not a valid config, or an export with another format.
    """
    if Path(path).name == WINNER and not Path(path).exists() and Path(path).with_name(BEST).exists():
        raise InputError(
            f"{path}: the study has no winner (its report says why, such as a baseline that is ahead on validation); train "
            f"{Path(path).with_name(BEST)}, the best config of the study's own loss"
        )
    content = read_yaml(path)
    if "config" not in content:
        return ConfigFile(TrainConfig.from_dict(content, path), None, {})
    if "space" in content and "format" not in content:
        raise InputError(
            f"{path}: is a study file, got its keys {', '.join([*content][:3])}, ...; search it with hpo.run --study {path}, "
            "then train its best.yaml"
        )
    found = ExportedConfig.from_dict(content, path, REMEDY)
    exported = {} if found.is_edited else found.validation
    return ConfigFile(found.config, found.data, exported, found.objective, found.is_edited)


def main(argv: list[str] | None = None) -> int:
    """Train one config: without the validation pairs, to measure on them, or with --with-validation or --all-data."""
    parser = command_parser("train", main.__doc__, "runs/yelp_mml/winner.yaml --all-data --save model.npz")
    parser.add_argument("config", metavar="CONFIG.yaml", help="a config, or an exported winner.yaml or best.yaml")
    parser.add_argument("--dataset", metavar="D", help="dataset name or path (default: that of the exported config)")
    parser.add_argument(
        "--data",
        metavar="YAML",
        help="how to read your own data, as in a study file: '{min_rating: 4}' (default: that of the exported config)",
    )
    parser.add_argument("--save", type=path, metavar="FILE.npz", help="save the model to this file, for hpo.recommend")
    parser.add_argument(
        "--validation",
        metavar="HOW",
        help="how to hold out validation: random, last, time, file, or a mapping as in a study file, "
        "'{name: last, fraction: 0.2}' (default: that of the exported config, or one that suits the data)",
    )
    parser.add_argument(
        "--with-validation",
        action="store_true",
        help="train on the validation pairs, too, as the confirmation does before it measures on test; measure nothing",
    )
    parser.add_argument(
        "--all-data",
        action="store_true",
        help="train the final model on all interactions, validation and test included, and measure nothing",
    )
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of the training, 0 or more (default: the config's)")
    parser.add_argument(
        "--evaluate-every",
        type=positive,
        metavar="N",
        help=f"epochs between evaluations, 1 or more (default: {EVALUATE_EVERY})",
    )
    parser.add_argument(
        "--output", type=path, default=OUTPUT, metavar="DIR", help=f"folder for checkpoints during training (default: {OUTPUT})"
    )
    add_checkpoint_argument(parser)
    add_data_argument(parser)
    add_engine_arguments(parser)
    parser.set_defaults(engine=None)
    stopped = "the epochs trained so far are kept; the same command continues after them"
    return entry(parser, argv, _train, stopped=stopped, trains=True)


def _train(arguments: argparse.Namespace) -> int:
    _check_flags(arguments)
    file = read_config_file(arguments.config)
    config = file.config
    if arguments.seed is not None:
        config = TrainConfig.from_dict(config.to_dict() | {"seed": arguments.seed}, "--seed")
    name = arguments.dataset or (file.data.dataset if file.data else None)
    if name is None:
        raise InputError(f"{arguments.config} is a bare config, which names no dataset; give one with --dataset")
    same_name = file.data is not None and name == file.data.dataset
    options = file.data.options if file.data and same_name else DataOptions()
    if arguments.data is not None:
        options = checked(DataOptions, parse_yaml(arguments.data, "--data"), "--data")
    console = Console()
    if file.data is not None and not same_name and arguments.data is None and file.data.options != DataOptions():
        given = ", ".join(file.data.options.given())
        say(
            console,
            f"{name} is read without the data options of {Path(file.data.dataset).name} ({given}); give some with --data YAML",
        )
    engine = arguments.engine or (file.data.engine if file.data and arguments.device == AUTO else AUTO)
    choice = choose_engine(config, engine, arguments.device)
    say(console, f"engine {choice.name} on {choice.device}")
    if file.is_edited:
        say(console, f"{arguments.config}: the config was edited after its export, so the figures in the file are not its own")
    load = load_all if arguments.all_data else load_dataset
    dataset = load(str(name), arguments.data_dir, **options.given())
    for sentence in dataset.facts.said():
        say(console, f"{dataset.name}: {sentence}")
    how = _validation(arguments.validation) or (file.data.validation if file.data and same_name else None)
    parts, how = _split(dataset, how, arguments.with_validation)
    say(console, _trained_on(dataset, parts, how))
    seen, validation = (dataset.train, None) if parts is None else (parts.seen, parts.held_out)
    if arguments.save is not None:
        _check_saving(arguments.save)
    metrics = measured(file.objective)
    with Stopper().catching() as stopper:
        at, stops = every(arguments.evaluate_every or EVALUATE_EVERY), stopper.should_stop
        engine = make_engine(choice, seen, validation, at, should_stop=stops, metrics=metrics)
        run = Run(engine, config, checkpoint=_checkpoint(arguments, training_key(config, seen, validation, choice)))
        _train_and_save(run, metrics, dataset, arguments.with_validation, arguments.save, console)
    same_data = file.data and (dataset.checksum, how) == (file.data.checksum, file.data.validation)
    if file.exported and same_data and validation is not None and config == file.config:
        say(console, f"exported: validation {_shown(file.exported, metrics)}")
    if arguments.save is not None:
        say(console, f"wrote {arguments.save}; make recommendations with python -m hpo.recommend {arguments.save}")
    return 0


def _check_flags(arguments: argparse.Namespace) -> None:
    """Refuse the flags that have no effect with --with-validation or --all-data."""
    given = [flag for flag in ("--with-validation", "--all-data") if getattr(arguments, flag[2:].replace("-", "_"))]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} exclude each other; give --all-data to train on the test pairs, too")
    if given and arguments.validation is not None:
        raise InputError(f"{given[0]} holds no validation out; leave --validation {arguments.validation} out")
    if given and arguments.evaluate_every is not None:
        raise InputError(f"{given[0]} measures nothing; leave --evaluate-every {arguments.evaluate_every} out")


def _train_and_save(
    run: Run, metrics: Sequence[str], dataset: Dataset, with_validation: bool, path: Path | None, console: Console
) -> None:
    """Train and print each epoch. The model is saved before the checkpoint is deleted."""
    epochs = run.config.epochs
    for result in run:
        shown = "" if result.metrics is None else f", validation {_shown(result.metrics, metrics)}"
        say(console, f"epoch {result.epoch}/{epochs}: loss {result.loss:.4f}{shown}")
        if result.epoch == epochs and path is not None:
            # a model for comparisons recommends disliked items, too, as the test stage does
            made = Recommender.of(
                dataset, *run.vectors(), not with_validation, "with validation" if with_validation else "without validation"
            )
            made.save(path)


def _checkpoint(arguments: argparse.Namespace, key: dict[str, Any]) -> CheckpointFile:
    """The checkpoint file of this training."""
    training = {name: key[name] for name in ("config", "seen", "held_out", "engine")}  # other differences only cause a warning
    what = hashlib.sha256(json.dumps(training, sort_keys=True).encode()).hexdigest()[:20]
    path = arguments.output / TRAIN_FOLDER / f"{what}.npz"
    return CheckpointFile(path, key, "the training", every=arguments.checkpoint_every)


def _split(dataset: Dataset, how: ValidationSplit | None, with_validation: bool) -> tuple[Split | None, ValidationSplit | None]:
    """Training and validation pairs, and how they were split; both None if nothing is held out."""
    if dataset.whole_of or with_validation:
        return None, None
    how = how or dataset.default_validation()
    return dataset.hold_out(how), how


def _trained_on(dataset: Dataset, parts: Split | None, how: ValidationSplit | None) -> str:
    """A sentence on the pairs of the training."""
    if dataset.whole_of:
        return f"training on all {len(dataset.train):,} interactions, test pairs included: nothing can be measured"
    if parts is None or how is None:
        return (
            f"training on {len(dataset.train):,} interactions, validation pairs included and test pairs left out: nothing is "
            "measured"
        )
    dropped = f"; {said}" if (said := dropped_said(parts.unknown, len(parts.held_out))) else ""
    left_out = f"left out for validation: {len(parts.held_out):,} ({how.said()})"
    return f"training on {len(parts.seen):,} interactions; {left_out}{dropped}"


def _validation(text: str | None) -> ValidationSplit | None:
    """The split in the value of `--validation`: a name, or a mapping in YAML."""
    if text is None:
        return None
    return checked(
        ValidationSplit, parse_yaml(text, "--validation") if text.lstrip().startswith("{") else {"name": text}, "--validation"
    )


def _shown(found: dict[str, float], metrics: Sequence[str]) -> str:
    return ", ".join(f"{name} {found[name]:.6f}" for name in metrics if name in found)


def _check_saving(path: Path) -> None:
    """Check before training that the folder takes new files, and that a file of this name can be replaced."""
    if path.suffix != ".npz":
        raise InputError(f"--save must be a file that ends in .npz, got {path}; give FILE.npz")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        check_new_files(path.resolve().parent)
        if path.exists():
            path.open("ab").close()


if __name__ == "__main__":
    raise SystemExit(main())
