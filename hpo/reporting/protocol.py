"""What was compared and how, in sentences of a report."""

from __future__ import annotations

from hpo.confirmation.data_wording import TEST_SPLITS
from hpo.confirmation.outcome import Confirmation, DataCounts
from hpo.reporting.export import exported
from hpo.runtime.text import counted, listed
from hpo.study.spec import StudySpec
from trainers.data.facts import dropped_said, tied_times
from trainers.data.options import ValidationSplit


def protocol(spec: StudySpec, validation: ValidationSplit, confirmed: Confirmation | None) -> list[str]:
    """The sentences about data and search, and those about the confirmation if there is one."""
    search = spec.search
    searched = "; ".join(f"{name} {range_}" for name, range_ in spec.space.ranges_said().items())
    lines = [
        f"Data: {spec.data_name}; held out for validation: {validation.said()}.",
        f"Search: objective {spec.objective}, space {spec.space.name} ({searched}), "
        f"{counted(search.epochs, 'epoch')} a trial, sampler {search.sampler.name}, pruner {search.pruner.name}.",
    ]
    return lines + (_of_confirm(confirmed) if confirmed else [])


def _of_confirm(confirmed: Confirmation) -> list[str]:
    n_select = max(len(finalist.by_seed) for finalist in confirmed.finalists)
    n_test = max(len(seeds) for method in confirmed.methods for seeds in method.seeds)
    each = "search" if confirmed.search_rows() else "method"
    data, epochs = confirmed.data, confirmed.chosen.config.epochs
    has_published = any(not method.is_tuned for method in confirmed.methods)  # a league may have none
    trained = [f"{counted(len(confirmed.finalists), 'config')} of this study"]
    trained += ["those of tuned rivals"] if any(method.is_tuned for method in confirmed.methods[1:]) else []
    trained += ["each published config"] if has_published else []
    tested = "and the published ones were" if has_published else "was"
    return [
        f"Confirm, stage 1: {listed(trained)} were trained with {counted(n_select, 'seed')} and measured on validation.",
        f"Confirm, stage 2: the best config of each {each} by validation {tested} "
        f"trained with {counted(n_test, 'seed')} for {counted(epochs, 'epoch')} and measured on test, once per run, at "
        f"the last epoch. {_what_chose(confirmed)}",
        *_of_baselines(confirmed),
        f"Configs: {'; '.join(f'{name} holds {confirmed.named(method)}' for name, method in exported(confirmed).items())}.",
        f"Data in numbers: {data.users:,} users; {data.items:,} items; {data.train:,} interactions to train on, "
        f"{data.validation:,} for validation, {data.test:,} for the test; {data.users_with_test:,} users with test "
        f"interactions; test split: {_test_split(data)}.",
        *(f"Data: {sentence}." for sentence in data.facts.said()),
        *_dropped(data),
    ]


def _what_chose(confirmed: Confirmation) -> str:
    """Which split chose among the methods."""
    nobody = " There is no winner, since a baseline is ahead on validation." if confirmed.decision.ahead else ""
    return f"Validation chose among the methods; test chose nothing.{nobody}"


def _of_baselines(confirmed: Confirmation) -> list[str]:
    """How the settings of baselines were chosen; empty if all have their default settings."""
    tuned = [one for one in confirmed.baselines if len(one.evaluations) > 1]
    if not tuned:
        return []
    first, *others = tuned
    tried = listed(
        [f"{len(first.evaluations)} points of {first.name}", *(f"{len(one.evaluations)} of {one.name}" for one in others)]
    )
    each = " of each" if others else ""
    return [f"Baselines: {tried} were measured on validation; the best one{each} was measured on test once."]


def _test_split(data: DataCounts) -> str:
    """How the test split was made."""
    made, moment = data.facts.made, data.about_test.moment
    said = made.said() if made else TEST_SPLITS[data.facts.test_split]
    return said if moment is None else f"{said} ({moment:.0f})"


def _dropped(data: DataCounts) -> list[str]:
    about = data.about_test
    lines = [f"Test: {sentence}." for sentence in (about.read, *about.warnings) if sentence]
    if about.below_rating and data.facts.min_rating is not None:
        lines.append(f"Test: {about.below_rating:,} interactions dropped, rated below {data.facts.min_rating:g}.")
    if about.unknown or about.seen:
        lines.append(
            f"Test: {about.unknown:,} of {about.pairs:,} pairs dropped whose user or item is not in train, {about.seen:,} "
            f"that are in train; {about.kept_users:,} of {about.users:,} users are left."
        )
    if about.later:
        share = "less than 1 %" if about.later < 0.01 else f"{100 * about.later:.0f} %"
        lines.append(
            f"Test: {share} of the training interactions are later than a test interaction, on average, so the figures are not "
            "those of a forecast. To measure a forecast, split by time."
        )
    if about.tied:
        lines.append(f"Test: {tied_times('test', about.tied, about.kept_users)}.")
    if dropped := dropped_said(data.validation_unknown, data.validation):
        lines.append(f"Validation: {dropped}.")
    if data.validation_tied:
        lines.append(f"Validation: {tied_times('validation', data.validation_tied, data.validation_users)}.")
    return lines
