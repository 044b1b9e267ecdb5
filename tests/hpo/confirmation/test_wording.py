"""Every sentence of a confirmation, compared with wording.txt.

`python -m tests.hpo.confirmation.test_wording` prints the new content of that file. Read it before you keep it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from hpo.confirmation.advice import COMPARE as COMMAND
from hpo.confirmation.advice import COMPARE_STUDIES as OF_STUDIES
from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.confirmation.evidence import Evidence
from hpo.confirmation.headlines import headline, headlines, warnings, winner_headline
from hpo.confirmation.league import League, Pair, Span
from hpo.confirmation.repeats import Repeats
from hpo.confirmation.results import BestSoFar, Finalist, Method, SearchCost, SearchWinner
from hpo.confirmation.standings import Standings
from hpo.confirmation.statements import baseline_said, highest_said, statements, tuning_said, verdict, winner_said
from hpo.confirmation.statistics import Comparison
from hpo.confirmation.tuning import Tuning
from hpo.confirmation.winner import decide
from hpo.confirmation.wording import TOGETHER, WHY_NOT_TUNED, WORDING, sentence, sentences
from hpo.runs.baseline_results import Evaluation
from trainers import TrainConfig

from ..outcomes import baseline_result

GOLDEN = Path(__file__).with_name("wording.txt")
OBJECTIVE = "ndcg@20"
BASELINES = "MostPop", "RP3beta (tuned, 36 points)", "iALS (tuned, 24 points)", "EASE (tuned, 12 points)"
CONFIG = TrainConfig.from_dict({"loss": {"name": "ccl", "margin": 0.5, "negative_weight": 1.0}})
DIFFERENCES: list[JsonValue] = [["config.score", "inner_product", "cosine"], ["search.epochs", 2, 3]]
DETAILS: dict[str, list[JsonValue]] = {"differs": DIFFERENCES, "cannot be searched": ["dropout must be 0, got 0.1"]}
SEEDS = "seed", "seed"
WIDEN = "python -m hpo.run --study yelp_mml --widen --trials 400"
END: dict[str, JsonValue] = {"name": "negative_ratio", "value": 1.2, "low": 1.0, "high": 10_000.0, "end": "low"}
END |= {"trials": 4, "of": 5, "is_chosen": True}
DIVERGED: dict[str, JsonValue] = {"failed": 2, "of": 6, "failure": "nan in epoch 2", "lost_seeds": 1, "seeds": 3}
AHEAD: dict[str, JsonValue] = {"published": "CCL published", "trial": 3, "search_value": 0.2, "chosen_search_value": 0.19}

# At least one caveat of each kind, and one for each form of its sentence.
CAVEATS: list[tuple[CaveatKind, str, dict[str, JsonValue]]] = [
    *(
        (
            CaveatKind.NOT_TUNED,
            "CCL",
            {
                "study": "yelp_ccl",
                "reason": reason,
                "details": DETAILS.get(reason, []),
                "compared": reason != "has not run",
            },
        )
        for reason in WHY_NOT_TUNED
        if reason != "budget"
    ),
    (
        CaveatKind.SEARCHES_MISSING,
        "MML tuned",
        {
            "used": 1,
            "asked": 3,
            "studies": [
                {"study": "yelp_mml-search2", "reason": "has not run", "details": []},
                {"study": "yelp_mml-search3", "reason": "budget", "details": ["7 trials, not 200"]},
            ],
        },
    ),
    (
        CaveatKind.SEARCHES_MISSING,
        "MML tuned",
        {"used": 2, "asked": 3, "studies": [{"study": "yelp_mml-search2", "reason": "differs", "details": DIFFERENCES}]},
    ),
    (CaveatKind.UNTUNED_RIVALS, "MML tuned", {"to_delete": []}),
    (CaveatKind.UNTUNED_RIVALS, "MML tuned", {"to_delete": ["yelp_ccl", "yelp_bsl"]}),
    (CaveatKind.FOUND_PUBLISHED, "CCL tuned", {"published": "CCL published"}),
    (CaveatKind.FOUND_PUBLISHED, "CCL tuned", {**AHEAD, "failure": "", "value": 0.29, "chosen_value": 0.3}),
    (CaveatKind.FOUND_PUBLISHED, "CCL tuned", {**AHEAD, "failure": "nan in epoch 2", "value": None, "chosen_value": 0.3}),
    (CaveatKind.PAPER_SETTINGS, "yelp_mml", {}),
    (CaveatKind.DIFFERENT_SETTINGS, "MML tuned", {"methods": ["CCL tuned"], "differences": [["encoder.dim", 4, 8]]}),
    (
        CaveatKind.DIFFERENT_SETTINGS,
        "MML tuned",
        {"methods": ["CCL tuned", "CCL published"], "differences": [["encoder.dim", 4, 8], ["negatives.count", 5, 7]]},
    ),
    (CaveatKind.SHORT_SEARCH, "MML tuned", {"sampler": "tpe", "trials": 4, "random_trials": 20}),
    (CaveatKind.SHORT_SEARCH, "MML tuned", {"sampler": "gp", "trials": 16, "random_trials": 21, "complete": True}),
    (CaveatKind.AT_RANGE_END, "MML tuned", {"command": WIDEN, "ends": [END]}),
    (
        CaveatKind.AT_RANGE_END,
        "CCL tuned",
        {
            "command": WIDEN,
            "ends": [
                {**END, "name": "learning_rate", "value": 1.02e-5, "low": 1e-5, "high": 0.1, "trials": 1},
                {**END, "name": "margin", "value": 0.97, "low": 0.0, "high": 0.99, "end": "high", "is_chosen": False},
            ],
        },
    ),
    (
        CaveatKind.AT_RANGE_END,
        "EASE (tuned, 12 points)",
        {"ends": [{**END, "name": "l2", "value": 9500.0, "high": 10_000.0, "end": "high", "trials": 1, "of": 12}]},
    ),
    (CaveatKind.DIVERGED, "CCL tuned", {**DIVERGED, "trial": 3}),
    (CaveatKind.DIVERGED, "CCL published", {**DIVERGED, "trial": None, "failed": 1, "of": 1}),
    (CaveatKind.NOT_SEARCHED_BY_ALL, "yelp_mml", {"fields": ["learning_rate", "l2"]}),
    (CaveatKind.DATA_WARNING, "mine", {"warning": "3 lines have the user id NA, which counts as an id like any other"}),
    (CaveatKind.RATINGS_UNUSED, "mine", {}),
    (CaveatKind.VALIDATION_DROPPED, "mine", {"pairs": 4000, "unknown": 3900}),
    (CaveatKind.TEST_DROPPED, "mine", {"pairs": 4000, "users": 326, "unknown": 3900, "seen": 2, "kept_users": 5}),
    (CaveatKind.TIED_TIMES, "mine", {"split": "test", "tied": 812, "users": 943}),
    (CaveatKind.TIED_TIMES, "mine", {"split": "validation", "tied": 300, "users": 943}),
    (CaveatKind.FEW_VALIDATION_USERS, "mine", {"users": 12}),
    (CaveatKind.SPLIT_METHODS_DIFFER, "mine", {"validation": "random", "test": "last", "remedy": "last"}),
    (CaveatKind.SPLIT_METHODS_DIFFER, "mine", {"validation": "last", "test": "random", "remedy": "random"}),
    (CaveatKind.SPLIT_METHODS_DIFFER, "electronic_temporal_mml", {"validation": "random", "test": "time", "remedy": "none"}),
    (CaveatKind.POPULARITY_DIFFERS, "yelp_mml", {"percent": 21.7, "remedy": "last"}),
    (CaveatKind.POPULARITY_DIFFERS, "yelp_mml", {"percent": -16.2, "remedy": "none"}),
    (CaveatKind.POPULARITY_DIFFERS, "yelp_mml", {"percent": -16.2, "remedy": "alike"}),
    (CaveatKind.POPULARITY_DIFFERS, "mine", {"percent": 12.0, "remedy": "unknown"}),
    (CaveatKind.POPULARITY_DIFFERS, "mine", {"percent": 30.0, "remedy": "time"}),
    (CaveatKind.SPLIT_METHODS_DIFFER, "mine", {"validation": "random", "test": "file", "remedy": "last"}),
    (CaveatKind.TEST_READ_AGAIN, "yelp_mml", {"times": 2}),
    (CaveatKind.TEST_CHANGED, "yelp_mml", {"now": "fedcba9876543210", "times": 1, "before": {"0123456789abcdef": 2}}),
    (CaveatKind.TEST_READ_FOR_OTHERS, "yelp_mml", {"studies": ["first", "second"]}),
    (CaveatKind.CURVE_RISES, "MML tuned", {"percent": 5.04, "from_epoch": 90, "to_epoch": 100}),
    (
        CaveatKind.LONGER_TRAINING_HELPED,
        "MML tuned",
        {"search_value": 0.1, "search_epochs": 30, "value": 0.12, "epochs": 100},
    ),
    (CaveatKind.OTHER_REVISIONS, "MML tuned", {"now": "fedcba9876543210", "then": {"0123456789abcdef": 14}, "runs": 14}),
    (
        CaveatKind.OTHER_REVISIONS,
        "MML tuned",
        {"now": "0123456789abcdef", "then": {"0123456789abcdef dirty": 3, "0.1.0": 1}, "runs": 14},
    ),
    (CaveatKind.MIXED_MACHINES, "MML tuned", {"found": ["x86_64 CPU (znver4)", "x86_64 CPU (znver5)"]}),
    (CaveatKind.MIXED_LIBRARIES, "numba", {"found": ["numba 0.61.0, llvmlite 0.44.0", "numba 0.62.0, llvmlite 0.45.0"]}),
    (
        CaveatKind.BELOW_POPULARITY,
        "CCL tuned",
        {"baseline": "MostPop", "split": "validation", "value": 0.01, "baseline_value": 0.03},
    ),
    (
        CaveatKind.BASELINE_AHEAD,
        "MML tuned",
        {"baseline": "iALS (tuned, 24 points)", "split": "validation", "value": 0.1, "baseline_value": 0.3},
    ),
    (CaveatKind.BASELINES_NOT_TUNED, "RP3beta (default settings) and EASE (default settings)", {"count": 2}),
    (CaveatKind.BASELINES_NOT_TUNED, "EASE (default settings)", {"count": 1}),
    (CaveatKind.BASELINE_FAILED, "ials", {"points": 24, "failure": "l2 must be larger, got 1e-4; raise it"}),
    *(
        (kind, "MML tuned", {**facts, "rate_searched": True})
        for kind, facts in (
            (CaveatKind.CURVE_RISES, {"percent": 5.04, "from_epoch": 90, "to_epoch": 100}),
            (
                CaveatKind.BELOW_POPULARITY,
                {"baseline": "MostPop", "split": "validation", "value": 0.01, "baseline_value": 0.03},
            ),
            (CaveatKind.BASELINE_AHEAD, {"baseline": "EASE", "split": "validation", "value": 0.1, "baseline_value": 0.3}),
        )
    ),
    (CaveatKind.USERS_MISSING, "BPR", {"missing": 12, "all": 5000, "common": 4980}),
    (CaveatKind.USERS_UNSERVED, "BPR", {"least": 3, "most": 3, "users": 5000, "runs": 2}),
    (CaveatKind.USERS_UNKNOWN, "BPR", {"least": 1, "most": 3, "users": 5000, "runs": 2}),
    (CaveatKind.SHORT_LISTS, "BPR", {"least": 0, "most": 1200, "users": 5000, "runs": 2}),
    (CaveatKind.TIED_SCORES, "Pop", {"least": 5000, "most": 5000, "users": 5000, "runs": 1}),
    (CaveatKind.RUNS_DIFFER, "BPR", {"runs": [["BPR", 3], ["EASE", 1]]}),
    (CaveatKind.RUNS_ALIKE, "EASE", {"runs": 2}),
    (CaveatKind.OUTSIDE_UNIT, "BPR", {"low": -0.25, "high": 3.0}),
    (CaveatKind.CONSTANT, "BPR", {"value": 0.0}),
    (CaveatKind.SAME_FIGURES, "BPR", {"other": "EASE"}),
    (CaveatKind.MIXED_SOURCES, "BPR", {"read": ["BPR"], "computed": ["MML", "EASE"]}),
]
BRIEF = BestSoFar(9, {1: 0.1})
ROSE, FLAT, SHORT = BestSoFar(60, {1: 0.1, 20: 0.2, 41: 0.204}), BestSoFar(60, {1: 0.1, 20: 0.2}), BestSoFar(2, {1: 0.1})
LITTLE, LATE = BestSoFar(60, {40: 0.2, 60: 0.2006}), BestSoFar(60, {41: 0.2})
TUNED = [
    Tuning("MML tuned", "MML published", validation_percent=4.12, test_percent=1.2, searches=[LITTLE]),
    Tuning("MML tuned", "MML published", validation_percent=4.12, test_percent=-2.1, test_error_percent=1.4, searches=[ROSE]),
    Tuning("MML tuned", "MML published", validation_percent=4.12, test_percent=-0.3, test_error_percent=0.7, searches=[FLAT]),
    Tuning("MML tuned", "MML published", validation_percent=4.12, searches=[FLAT]),
    Tuning("MML tuned", "MML published", validation_percent=-1.0, test_percent=0.5, searches=[ROSE, FLAT]),
    Tuning("BPR tuned", "trial 0, its first", validation_percent=-1.0, searches=[SHORT]),
    Tuning("BPR tuned", "trial 0, its first", validation_percent=-1.0, searches=[BestSoFar(1, {1: 0.1})]),
    Tuning("BPR tuned", "trial 0, its first", validation_percent=-1.0, searches=[BRIEF]),
    Tuning("BPR tuned", "trial 40, its first", validation_percent=0.0, searches=[LATE]),
    Tuning("CCL tuned", "CCL published", True, 0.0, 0.0, searches=[FLAT, FLAT]),
    Tuning("CCL tuned", "CCL published"),
]
# A caveat of several methods has one sentence.
OF_SEVERAL: list[list[tuple[CaveatKind, str, dict[str, JsonValue]]]] = [
    [(kind, subject, {**facts, **change}) for subject, change in (("A", {}), ("B", other), ("C", {}))]
    for kind, facts, other in (
        (CaveatKind.SHORT_SEARCH, {"sampler": "tpe", "trials": 4, "random_trials": 20}, {"trials": 3}),
        (CaveatKind.CURVE_RISES, {"percent": 5.04, "from_epoch": 90, "to_epoch": 100}, {"percent": 2.0}),
        (
            CaveatKind.LONGER_TRAINING_HELPED,
            {"search_value": 0.1, "search_epochs": 30, "value": 0.12, "epochs": 100},
            {"search_value": 0.2, "value": 0.3},
        ),
        (
            CaveatKind.BELOW_POPULARITY,
            {"baseline": "MostPop", "split": "validation", "value": 0.01, "baseline_value": 0.03},
            {"value": 0.02},
        ),
        (
            CaveatKind.BASELINE_AHEAD,
            {"baseline": "EASE", "split": "validation", "value": 0.1, "baseline_value": 0.3},
            {"value": 0.2},
        ),
    )
]


def evidence(low: float, high: float) -> Evidence:
    return Evidence(low, high, 0.01, 0.001)


def searched_by(method: Method, count: int) -> Method:
    """The same method with `count` searches."""
    return replace(method, searches=[SearchWinner(number, "s", 0, CONFIG, [201]) for number in range(1, count + 1)])


def compared(
    rival: str, difference: float, p: float, base: float = 0.05, family: int = 2, runs: bool = True, **more: Any
) -> Comparison:
    users = evidence(difference - 0.001, difference + 0.001)
    more |= {"runs": users, "both": evidence(difference - 0.002, difference + 0.002), "detectable": 0.0015} if runs else {}
    return Comparison("MML tuned", rival, difference, base, users, p, 0.5, family=family, **more)


def method(label: str, value: float | None, trials: int = 0, objective: str = OBJECTIVE) -> Method:
    by_seed = {} if value is None else {201: {objective: value}}
    return Method(label, CONFIG, by_seed, 1.0, "" if value is not None else "nan in epoch 2", SearchCost(trials))


def all_sentences(objective: str = OBJECTIVE) -> str:
    """All sentences, one in each line."""
    given = ("MML tuned", 0.06, 4), ("CCL published", 0.05, 0), ("BSL tuned", 0.04, 4), ("SL", None, 0)
    methods = [method(*each, objective) for each in given]
    comparisons = [
        compared("CCL published", 0.01, 0.0001),
        compared("BSL tuned", -0.01, 0.04, family=1),
        compared("CCL tuned", -0.01, 0.011),
        compared("MSE published", 0.0005, 0.4),
        replace(compared("SSM published", 0.01, 0.084), runs=Evidence(-0.001, 0.021, 0.042, 0.005)),
        replace(compared("SL published", 0.01, 0.084), runs=Evidence(-0.001, 0.021, 0.084, 0.005)),
        replace(compared("SL tuned", 0.01, 0.084, searches=(3, 3)), runs=Evidence(-0.001, 0.021, 0.084, 0.005)),
        compared("BPR published", 0.01, 1.0, runs=False),
        compared("HINGE published", 0.5, 0.01, base=0.0),
    ]
    lines = [f"statement: {each}" for each in statements(methods, comparisons, [], 100, objective)]
    lines += [f"statement: {each}" for each in statements(methods[:1], [], [], 5, objective)]
    counts = ("MML tuned", 3), ("CCL tuned", 1), ("BSL tuned", 2)
    searched = [searched_by(method(label, 0.06, 4, objective), count) for label, count in counts]
    comparisons = [compared("CCL tuned", 0.01, 0.0001), compared("BSL tuned", 0.01, 1.0, runs=False, searches=(3, 2))]
    lines += [f"statement: {each}" for each in statements(searched, comparisons, [], 100, objective)]
    several = [searched_by(method(label, 0.06, 4, objective), 3) for label in ("MML tuned", "CCL tuned")]
    lines += [f"statement: {each}" for each in statements(several, comparisons[:1], [], 100, objective)]
    single = [searched_by(method(label, 0.06, 4, objective), 1) for label in ("MML tuned", "CCL tuned")]
    lines += [f"statement: {each}" for each in statements(single, comparisons[:1], [], 100, objective)]
    ahead = [baseline_result("EASE", {objective: 0.07}), baseline_result("MostPop", {objective: 0.02})]
    lines += [f"statement: {each}" for each in statements(methods[:2], [], ahead, 100, objective)]
    lines += [f"statement: {each}" for each in statements(several, [], ahead, 100, objective)]
    values = {"MML tuned": 0.31, "CCL published": 0.29, "BSL tuned": 0.32, "CCL tuned": 0.3, "SL": 0.4}
    validated = {label: [Finalist(None, CONFIG, 0.0, {101: {objective: value}})] for label, value in values.items()}
    few = [baseline_result("EASE", {objective: 0.07}, 0.7)]
    twice = [*few, baseline_result("MostPop", {objective: 0.05}, 0.5)]
    for given_methods, baselines in ((methods, []), (methods, few), (methods, twice), (methods[:1], []), (methods[3:], [])):
        decision = decide(given_methods, validated, baselines, objective)
        lines.append(f"statement: {winner_said(decision, objective, len(given_methods))}")
    lines.append(f"statement: {winner_said(decide(methods[:1], validated, [], objective), objective, 2)}")
    for baselines in ([], few):
        lines.append(f"statement: {winner_said(decide(several, validated, baselines, objective), objective, 2)}")
    lines += _of_pairs(objective)
    for given_methods, baselines in ((methods, []), (methods, few), (methods, twice), (methods[2:3], [])):
        lines.append(f"headline: {winner_headline(decide(given_methods, validated, baselines, objective))}")
    lines += _of_baselines(methods[:1], objective)
    lines += _of_league(objective)
    lines += [f"headline: {each}" for each in headlines(methods[:1], [], 5, objective)]
    lines += [f"headline: {each}" for each in headlines(methods[:1], [], 100, objective)]
    lines += [f"headline: {each}" for each in headlines(methods[3:], [], 100, objective)]
    lines += _of_warnings(objective)
    lines.append(f"statement: {highest_said(['MML', 'BSL'], 0.31, 3, 4980, objective)}")
    lines.append(f"statement: {highest_said(['MML'], 0.31, 3, 4980, objective)}")
    lines += [f"brought: {tuning_said(tuning, objective)}" for tuning in TUNED]
    caveats = [Caveat(kind=kind, subject=subject, facts=facts) for kind, subject, facts in CAVEATS]
    lines += [f"{caveat.kind}: {sentence(caveat, objective)}" for caveat in caveats]
    lines += _of_several(objective)
    return "\n".join(lines) + "\n"


def _of_pairs(objective: str) -> list[str]:
    """What is said of a single pair, also by `hpo.compare`, and in short."""
    judged, alone = compared("CCL", 0.01, 0.0001, family=3), compared("BSL", 0.01, 1.0, runs=False)
    close = compared("CCL", 0.00001, 0.0499), compared("CCL", 0.00001, 0.0502)
    lines = [f"statement: {verdict(each, objective, command=COMMAND)}" for each in (judged, alone, *close)]
    lines.append(f"statement: {verdict(alone, objective, command=OF_STUDIES)}")
    undecided = compared("CCL", 0.0005, 0.4, family=1)
    mixed = Repeats(("search", "seed"), (3, 4), 6, "MML tuned")
    none = Repeats(SEEDS, (3, 3), None, most=50)
    for repeats in (Repeats(SEEDS, (3, 3), 7), mixed, none, replace(none, more_users=True), Repeats(SEEDS, (5, 3), 8)):
        lines.append(f"statement: {verdict(undecided, objective, repeats)}")
        lines.append(f"headline: {headline(undecided, repeats)}")
    for command in (COMMAND, OF_STUDIES):
        lines.append(f"statement: {verdict(undecided, objective, Repeats(SEEDS, (2, 2), 5), command)}")
    lines.append(f"statement: {verdict(undecided, objective, mixed, OF_STUDIES)}")
    twice_searched = compared("BSL", 0.01, 1.0, runs=False, searches=(2, 1))
    worse = compared("HINGE", -0.5, 0.01, base=0.0)
    return lines + [f"headline: {headline(each)}" for each in (judged, worse, undecided, alone, twice_searched)]


def _of_warnings(objective: str) -> list[str]:
    """What the box says besides the result, of one method and of two."""
    lost = [method(label, value, 4, objective) for label, value in (("MML tuned", 0.06), ("A tuned", None), ("B tuned", None))]
    named: list[tuple[str, JsonValue]] = [("CCL", True), ("CML", False), ("BSL", True), ("SL", False)]
    caveats = [Caveat(kind=CaveatKind.NOT_TUNED, subject=name, facts={"compared": compared}) for name, compared in named]
    said = [*warnings(lost[:2], caveats[:2]), *warnings(lost, caveats), *warnings(lost[:1], [])]
    return [f"warning: {each}" for each in said]


def _of_several(objective: str) -> list[str]:
    """The sentences on caveats that three methods have, and that six have."""
    said = []
    for each in OF_SEVERAL:
        (one,) = sentences([Caveat(kind=kind, subject=subject, facts=facts) for kind, subject, facts in each], objective)
        many = [Caveat(kind=kind, subject=f"{subject}{n}", facts=facts) for n in (1, 2) for kind, subject, facts in each]
        said += [f"{each[0][0]}, several: {one}", f"{each[0][0]}, many: {sentences(many, objective)[0]}"]
    return said


def _of_baselines(methods: list[Method], objective: str) -> list[str]:
    """What is said of baselines, with which the first method is compared."""
    tried = [Evaluation(settings={}, value=0.1), Evaluation(settings={}, failure="too small")]
    few = baseline_result("EASE (default settings)", {objective: 0.05})
    many = [baseline_result(label, {objective: 0.05}, evaluations=tried) for label in BASELINES]
    of = [compared(label, 0.01, 0.0001, family=4) for label in BASELINES]
    of += [compared("ItemKNN (tuned, 24 points)", -0.0005, 0.4, base=0.06, family=4)]
    said = [f"statement: {each}" for each in statements(methods, [], many, 100, objective, of)]
    single = [compared("EASE", 0.01, 1.0, runs=False)]
    said += [f"statement: {each}" for each in statements(methods, [], many, 100, objective, single)]
    said += [f"headline: {each}" for each in headlines(methods, [], 100, objective, of)]
    said += [f"headline: {each}" for each in headlines(methods, [], 100, objective, of[:1])]
    return said + [f"baseline: {baseline_said(each, objective)}" for each in (*many, few)]


def _of_league(objective: str) -> list[str]:
    """What is said of a league: how its table is read, and its result in short."""
    names = "MML tuned", "CCL tuned", "BSL tuned", "SL tuned"
    methods = [method(label, 0.06, 4, objective) for label in names]
    validated = {label: [Finalist(None, CONFIG, 0.0, {101: {objective: 0.3}})] for label in names}
    ours = [compared("CCL tuned", -0.01, 0.01, family=5), compared("BSL tuned", 0.01, 0.01, family=5)]
    ours += [compared("SL tuned", 0.0005, 0.4, family=5)]
    leads = [replace(each, ours="CCL tuned") for each in ours[1:]]
    spans = {label: Span(0.06, 0.05, 0.07) for label in names}
    pairs = [Pair("MML tuned", "CCL tuned", 0.01, 0.05, 0.0, 0.02, 0.01)]
    league = League("CCL tuned", leads, spans, pairs, {"cml": "it cannot be used with score inner_product: why"})
    leading = League("MML tuned", [], spans, pairs)
    lines = [f"statement: {each}" for each in statements(methods, ours[:1], [], 100, objective, is_league=True)]
    for one, named in ((league, [*ours, *leads]), (leading, ours), (League(None, [], spans), [])):
        standings = Standings.of(methods, [], validated, one, named, objective)
        lines += [f"league: {each}" for each in (*standings.headlines(), *standings.notes())]
    ease, popular = (baseline_result(label, {objective: 0.05}) for label in ("EASE", "MostPop"))
    of = [compared("EASE", 0.01, 0.0001, family=4), compared("MostPop", 0.001, 0.4, base=0.04, family=4)]
    both = [*of, *(replace(each, ours="CCL tuned") for each in of)]
    lines += [f"statement: {each}" for each in statements(methods, [], [ease, popular], 100, objective, both, is_league=True)]
    lines += [f"headline: {each}" for each in headlines(methods, [], 100, objective, both)]
    return lines


def test_the_sentences_are_those_of_the_file() -> None:
    assert all_sentences() == GOLDEN.read_text(encoding="utf-8")


def test_sentences_have_the_objective_of_the_study() -> None:
    assert all_sentences("map@5") == GOLDEN.read_text(encoding="utf-8").replace(OBJECTIVE, "map@5")


def test_every_kind_has_a_sentence_in_the_file() -> None:
    assert set(WORDING) == set(CaveatKind) == {kind for kind, _, _ in CAVEATS}
    assert set(TOGETHER) == {each[0][0] for each in OF_SEVERAL}


def test_caveats_with_different_facts_have_separate_sentences():
    facts: dict[str, JsonValue] = {"value": 0.1, "baseline_value": 0.3}
    caveats = [
        Caveat(kind=CaveatKind.BASELINE_AHEAD, subject=subject, facts={**facts, "baseline": baseline})
        for subject, baseline in (("A", "EASE"), ("B", "MostPop"), ("C", "EASE"))
    ]
    lines = sentences([caveats[0], Caveat(kind=CaveatKind.RATINGS_UNUSED, subject="s"), *caveats[1:]], OBJECTIVE)
    assert [each.partition(" below")[0] for each in lines[::2]] == ["A and C are", "B is"]


def test_tuned_rivals_come_first() -> None:
    methods = [method("MML tuned", 0.06, 4), method("CCL published", 0.05), method("BSL tuned", 0.04, 4)]
    lines = statements(methods, [compared("CCL published", 0.01, 0.01), compared("BSL tuned", 0.01, 0.01)], [], 30, OBJECTIVE)
    assert ["BSL" in sentence for sentence in lines] == [False, True, False]


if __name__ == "__main__":
    print(all_sentences(), end="")
