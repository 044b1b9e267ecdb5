"""`python -m benchmarks.replay record`, then `simulate`: full learning curves are replayed to compare pruning policies.

`record` trains 40 configs of each study, 20 random ones and 20 proposed by TPE, for 30 epochs with a falling learning rate. It
prunes none, and evaluates each of them on validation after every epoch. After an interruption it continues. A study is a
shipped one, or a shipped one with another space: STUDY:SPACE. Set NUMBA_NUM_THREADS=1, because processor time is measured.

`simulate` replays these curves to Optuna's pruners and to other policies, in many orders of the trials, and prints tables.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import optuna
from joblib import Parallel, delayed

from benchmarks.replay.record import record
from benchmarks.replay.recordings import CONFIGS, read_all
from benchmarks.replay.report import report
from benchmarks.replay.simulate import ORDERS, play_all
from hpo.runtime.signals import Stopper
from trainers import Stopped
from trainers.errors import InputError

GROUPS = [
    *("health_random_mml", "health_random_mml:ccl", "health_random_mml:bsl"),
    *("lastfm_mml", "lastfm_mml:ccl", "lastfm_mml:bsl"),
    *("gowalla_mml", "gowalla_ccl"),
    *("electronic_random_mml", "electronic_random_mml:ccl", "electronic_random_mml:bsl"),
]
FOLDER = Path("studies/results/replay")


def main() -> int:
    """Record or simulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recorder = commands.add_parser("record", help="train what is not recorded yet")
    recorder.add_argument("studies", nargs="*", metavar="STUDY", default=GROUPS)
    recorder.add_argument("--data-dir", metavar="DIR")
    recorder.add_argument("--configs", type=int, default=CONFIGS)
    player = commands.add_parser("simulate", help="play policies on what is recorded")
    player.add_argument("studies", nargs="*", metavar="NAME", help="recordings; by default all that are complete")
    player.add_argument("--orders", type=int, default=ORDERS, help="random orders of the trials")
    player.add_argument("--as-searched", action="store_true", help="TPE's proposals after the random ones")
    player.add_argument("--jobs", type=int, default=2, help="processes, a recording each")
    for command in (recorder, player):
        command.add_argument("--output", type=Path, default=FOLDER, help="folder of the recordings")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if arguments.command == "simulate":
            found, left_out = read_all(arguments.output, arguments.studies)
            played = [delayed(play_all)(one, arguments.orders, arguments.as_searched) for one in found]
            print(report(Parallel(arguments.jobs)(played)))
            if left_out:
                print(f"\nNot complete, and so left out: {', '.join(left_out)}")
            return 0
        with Stopper().catching() as stopper:
            for name in arguments.studies:
                record(name, arguments.output, arguments.data_dir, stopper, arguments.configs)
    except InputError as error:
        parser.error(str(error))
    except Stopped:
        print("stopped; the same command goes on")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
