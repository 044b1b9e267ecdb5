"""docs/images/: the pictures of the protocol and of the packages."""

from __future__ import annotations

from docs.generators.svg import Box, arrow, diagram, note

GREEN, SAND = "#edf7ee", "#fdf3e3"
TRAINERS = "data, losses, encoders, negatives,", "metrics, engines;", "knows nothing of Optuna"


def pictures() -> dict[str, str]:
    """The SVG of each diagram by the name of its file."""
    return {"protocol": _protocol(), "packages": _packages(), "trial": _trial()}


def _protocol() -> str:
    """From the data to the verdict."""
    parts = [
        Box(20, 20, 250, 62, ["train", "what models are trained on"]).draw(),
        Box(290, 20, 200, 62, ["validation", "held out of the training data"], GREEN).draw(),
        Box(510, 20, 190, 62, ["test", "the dataset's own test split"], SAND).draw(),
        Box(90, 140, 330, 80, ["Search", "trials of few epochs, one seed;", "weak trials are pruned"]).draw(),
        Box(
            90, 270, 330, 80, ["Stage 1: choose", "best configs x new seeds, all epochs;", "highest mean on validation wins"]
        ).draw(),
        Box(
            90, 400, 330, 80, ["Stage 2: measure", "winner and rivals x further seeds,", "on train and validation together"]
        ).draw(),
        Box(90, 530, 330, 62, ["Verdict", "better, worse, or not distinguishable"]).draw(),
        arrow((145, 82), (145, 138)),
        arrow((390, 82), (390, 138)),
        arrow((255, 220), (255, 268)),
        arrow((255, 350), (255, 398)),
        arrow((255, 480), (255, 528)),
        arrow((605, 82), (605, 440), (422, 440)),
        arrow((460, 82), (460, 310), (422, 310)),
        note(590, 470, "read once per model, at its last epoch"),
        note(243, 249, "best trials and the published config", "end"),
        note(243, 379, "one config per method", "end"),
    ]
    return diagram(720, 612, "From the splits over search, choice and measurement to the verdict", parts)


def _packages() -> str:
    """Who imports whom."""
    layers = [
        "commands: run, confirm, export, train, report, ...",
        "cli, reporting, replication",
        "confirmation",
        "runs",
        "search",
        "study",
        "storage",
        "runtime",
    ]
    parts = [Box(20, 20, 420, 58 + 36 * len(layers), ["", ""], "#fff").draw(), note(230, 44, "hpo: what a person runs")]
    parts += [Box(40, 58 + 36 * n, 380, 28, [layer]).draw() for n, layer in enumerate(layers)]
    parts += [
        Box(500, 60, 240, 62, ["search_spaces", "point of a range <-> config"], GREEN).draw(),
        Box(500, 190, 240, 110, ["trainers", *TRAINERS], SAND).draw(),
        arrow((440, 91), (498, 91)),
        arrow((440, 245), (498, 245)),
        arrow((620, 122), (620, 188)),
        note(230, 400, "each layer imports only from the layers below it"),
    ]
    return diagram(760, 420, "The packages and who imports whom", parts)


def _trial() -> str:
    """How a trial flows."""
    boxes = [
        ("ask", "Optuna proposes a point"),
        ("config", "the space makes a TrainConfig"),
        ("train", "the engine trains one epoch"),
        ("report", "value on validation"),
        ("tell", "Optuna stores the end value"),
    ]
    parts = [Box(20 + 150 * n, 40, 130, 62, [title, *_two(text)]).draw() for n, (title, text) in enumerate(boxes)]
    parts += [arrow((150 + 150 * n, 71), (168 + 150 * n, 71)) for n in range(4)]
    parts += [
        arrow((535, 102), (535, 140), (385, 140), (385, 104)),
        note(460, 158, "next epoch, unless the pruner stops the trial"),
        note(385, 24, "a checkpoint at most every 30 seconds"),
    ]
    return diagram(770, 176, "A trial: ask, config, train, report, tell", parts)


def _two(text: str) -> list[str]:
    """Text in two lines of about equal length."""
    words = text.split()
    half = next(n for n in range(1, len(words) + 1) if len(" ".join(words[:n])) * 2 >= len(text))
    return [" ".join(words[:half]), " ".join(words[half:])]
