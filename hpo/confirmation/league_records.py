"""The rows of league.csv and league_pairs.csv."""

from __future__ import annotations

from collections.abc import Iterator

from hpo.confirmation.standings import Standings, both_ways


def records(standings: Standings) -> Iterator[dict[str, object]]:
    """The rows of league.csv."""
    for place, row in enumerate(standings.rows, start=1):
        record: dict[str, object] = {"place": place if row.span else None, "method": row.label, "baseline": row.is_baseline}
        span = (row.span.mean, row.span.low, row.span.high) if row.span else (None, None, None)
        record |= dict(zip((standings.objective, "low", "high"), span, strict=True))
        record |= {f"validation {standings.objective}": row.validation, "groups": row.groups}
        for who, one in (("study", row.ours), ("leader", row.leader)):
            evidence = None if one is None else one.both or one.users
            record |= {
                f"{who}'s method": None if one is None else one.ours,
                f"{who}'s verdict": None if one is None else str(one.word),
                f"{who}'s difference": None if one is None else one.difference,
                f"{who}'s low": None if evidence is None else evidence.low,
                f"{who}'s high": None if evidence is None else evidence.high,
                f"{who}'s p": None if one is None or one.runs is None else one.p,
            }
        record |= {"trials": row.cost.trials or None, "epochs": row.cost.epochs or None, "seconds": row.cost.seconds or None}
        beyond = (
            (None, None, None) if row.beyond is None else (row.beyond.coverage, row.beyond.mean_popularity, row.beyond.gini)
        )
        yield record | dict(zip(("coverage", "mean popularity", "gini"), beyond, strict=True))


def pair_records(standings: Standings) -> Iterator[dict[str, object]]:
    """The rows of league_pairs.csv."""
    apart, named = standings.league.apart(standings.named), {frozenset((one.ours, one.rival)) for one in standings.named}
    verdicts = both_ways(standings.named)
    for one in standings.league.pairs:
        both, verdict = frozenset((one.first, one.second)), verdicts.get((one.first, one.second))
        evidence = one if verdict is None else verdict.both or verdict.users  # of a named pair the interval of the verdict
        yield {
            "first": one.first,
            "second": one.second,
            "difference": one.difference,
            "low": evidence.low,
            "high": evidence.high,
            "percent": one.percent,
            "p corrected for false discoveries": one.p,
            "named beforehand": both in named,
            "separated": both in apart,
        }
