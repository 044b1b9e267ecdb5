"""`python -m hpo.train CONFIG.yaml --dataset D`: one config, trained and measured on validation, its vectors saved."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from hpo.cli.console import say
from hpo.cli.entry import entry
from hpo.cli.flags import add_data_argument, add_engine_arguments, positive, seed
from hpo.reporting.export import REMEDY, ExportedConfig, ExportedData
from hpo.runtime.signals import Stopper
from hpo.study.objective import DEFAULT_OBJECTIVE, measured
from hpo.study.spec import SPLIT_SEED, Seed
from trainers import TrainConfig, hold_out, load_dataset
from trainers.engines import choose_engine, make_engine
from trainers.engines.registry import AUTO
from trainers.errors import InputError
from trainers.files import writing
from trainers.train import Run
from trainers.validation import checked
from trainers.yaml_files import read_yaml


@dataclass(frozen=True)
class ConfigFile:
    """A config file: a bare config, or what the program exports: a config with the data and figures it was trained with.

    Attributes:
        data: what the export was trained on; None for a bare config.
        exported: its validation metrics; empty for a bare config, or when the config was edited since.
        objective: of the study that it was exported from.
    """

    config: TrainConfig
    data: ExportedData | None
    exported: dict[str, float]
    objective: str = DEFAULT_OBJECTIVE


def read_config_file(path: str) -> ConfigFile:
    """Read a config file.

    Raises:
        InputError: missing, not YAML, not a valid config, or an export of another format.
    """
    content = read_yaml(path)
    if "config" not in content:
        return ConfigFile(TrainConfig.from_dict(content, path), None, {})
    found = ExportedConfig.from_dict(content, path, REMEDY)
    return ConfigFile(found.config, found.data, {} if found.is_edited else found.validation, found.objective)


def main(argv: list[str] | None = None) -> int:
    """Train one config, and measure it on the validation split unless that is trained on, too."""
    parser = argparse.ArgumentParser(prog="python -m hpo.train", description=main.__doc__)
    parser.add_argument("config", metavar="CONFIG.yaml", help="a config, or an exported best.yaml")
    parser.add_argument("--dataset", metavar="D", help="dataset name or path (default: the one it was exported from)")
    parser.add_argument("--save", type=Path, metavar="FILE.npz", help="save the ranking vectors as arrays `users` and `items`")
    parser.add_argument("--split-seed", type=seed, metavar="N", help="seed of the validation split")
    parser.add_argument(
        "--all-data", action="store_true", help="train on the validation split, too, and measure nothing: the model to use"
    )
    parser.add_argument("--evaluate-every", type=positive, default=5, metavar="N", help="epochs between evaluations (5)")
    add_data_argument(parser)
    add_engine_arguments(parser)
    parser.set_defaults(engine=None)
    return entry(parser, argv, _train, stopped="nothing is kept of a single training")


def _train(arguments: argparse.Namespace) -> int:
    file = read_config_file(arguments.config)
    name = arguments.dataset or (file.data.dataset if file.data else None)
    if name is None:
        raise InputError(f"{arguments.config} does not say its dataset; give it with --dataset")
    if arguments.all_data and arguments.split_seed is not None:
        raise InputError(f"--all-data splits nothing off; leave --split-seed {arguments.split_seed} out")
    split_seed = file.data.split_seed if file.data else SPLIT_SEED
    if arguments.split_seed is not None:
        split_seed = checked(Seed, arguments.split_seed, "--split-seed")
    console = Console()
    engine = arguments.engine or (file.data.engine if file.data and arguments.device == AUTO else AUTO)
    choice = choose_engine(file.config, engine, arguments.device)
    say(console, f"engine {choice.name} on {choice.device}")
    dataset = load_dataset(str(name), arguments.data_dir)
    seen, validation = (dataset.train, None) if arguments.all_data else hold_out(dataset.train, split_seed)
    if arguments.save is not None:
        _check_saving(arguments.save)
    with Stopper().catching() as stopper:
        every, metrics = arguments.evaluate_every, measured(file.objective)
        engine = make_engine(choice, seen, validation, every, should_stop=stopper.should_stop, metrics=metrics)
        run = Run(engine, file.config)
        for result in run:
            shown = "" if result.metrics is None else f", validation {_shown(result.metrics, metrics)}"
            say(console, f"epoch {result.epoch}/{file.config.epochs}: loss {result.loss:.4f}{shown}")
    same_data = file.data and (dataset.checksum, split_seed) == (file.data.checksum, file.data.split_seed)
    if file.exported and same_data and validation is not None:
        say(console, f"exported: validation {_shown(file.exported, metrics)}")
    if arguments.save is not None:
        users, items = run.vectors()
        with writing(arguments.save):
            np.savez_compressed(arguments.save, users=users, items=items, user_ids=dataset.user_ids, item_ids=dataset.item_ids)
        say(console, f"wrote {arguments.save}")
    return 0


def _shown(found: dict[str, float], metrics: Sequence[str]) -> str:
    return ", ".join(f"{name} {found[name]:.6f}" for name in metrics if name in found)


def _check_saving(path: Path) -> None:
    """Find out before training, not after it, and leave no empty file behind."""
    if path.suffix != ".npz":
        raise InputError(f"--save needs a file that ends in .npz, got {path}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        path.open("ab").close()
        if is_new:
            path.unlink()


if __name__ == "__main__":
    raise SystemExit(main())
