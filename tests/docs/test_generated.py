"""Generated pages and pictures are up to date and complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generators import commands, gradients
from docs.generators.all import DOCS, files
from docs.generators.studies import meanings
from hpo.confirmation.outcome import Confirmation
from hpo.reporting.export import ExportedConfig
from trainers.config import TrainConfig
from trainers.data.public import PUBLIC
from trainers.encoders import ENCODERS
from trainers.errors import InputError
from trainers.losses import LOSSES
from trainers.metrics.definitions import METRICS
from trainers.negatives import NEGATIVES
from trainers.scores import SCORES

ROUNDING = 0.11  # of a coordinate in a picture: another CPU may round the last digit differently
NUMBER = re.compile(r"-?\d+\.\d+")
GENERATED = files()


@pytest.mark.parametrize("name", GENERATED)
def test_a_committed_file_is_the_generated_one(name):
    committed, made = (DOCS / name).read_text(encoding="utf-8"), GENERATED[name]
    remedy = f"docs/{name} is out of date: run python -m docs.generators"
    if not name.endswith(".svg"):
        assert committed == made, remedy
        return
    assert NUMBER.sub("#", committed) == NUMBER.sub("#", made), remedy
    pairs = zip(NUMBER.findall(committed), NUMBER.findall(made), strict=True)
    assert all(abs(float(a) - float(b)) < ROUNDING for a, b in pairs), remedy


def test_every_picture_is_generated():
    assert {f"images/{path.name}" for path in (DOCS / "images").glob("*.svg")} <= GENERATED.keys()


def test_the_page_of_commands_has_every_command():
    assert {"run", "confirm", "train", "studies"} <= {*commands.command_names()}
    assert commands.parser_of("export").prog == "python -m hpo.export"


def test_meanings_come_from_the_docstrings_of_a_class_and_its_bases():
    assert meanings(TrainConfig)["epochs"] == "number of epochs."
    assert {"dim", "layers"} <= meanings(ENCODERS["lightgcn"]).keys()


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("models.md", [*LOSSES, *NEGATIVES, *SCORES, *ENCODERS, *METRICS, *PUBLIC]),
        ("outputs.md", [*ExportedConfig.model_fields, *Confirmation.model_fields]),
    ],
)
def test_a_page_has_every_name(page, names):
    words = {*re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`\n]+)`", (DOCS / page).read_text(encoding="utf-8"))))}
    assert [name for name in names if name not in words] == []


def test_every_loss_has_a_section_with_its_picture():
    """Without negatives there is no picture."""
    sections = (DOCS / "models.md").read_text(encoding="utf-8").split("\n### ")
    shown = {section.split("\n")[0]: re.findall(r"images/gradient-(\w+)\.svg", section) for section in sections[1:]}
    assert shown == {name: [name] if loss.needs_negatives else [] for name, loss in LOSSES.items()}


def test_a_loss_without_settings_for_its_picture_is_named(monkeypatch):
    monkeypatch.delitem(gradients.EXAMPLES, "bce")
    with pytest.raises(InputError, match="no paper has some for 'bce'; add a line to EXAMPLES"):
        gradients.example("bce")


def test_the_readme_is_short():
    root = Path(DOCS).parent
    assert len((root / "README.md").read_text(encoding="utf-8").splitlines()) <= 90
