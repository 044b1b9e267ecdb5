"""The trials of a study as pandas tables, and the learning curve of each trial.

Run it as a script, or cell by cell. It takes a minute.
"""

# %% A small search; `hpo.run` writes the same journal. A study that has run is opened by its name: load_study("yelp_mml").
import optuna
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from hpo.api import search

study = search("demo_mml", trials=12)

# %% A row for each trial: parameters of the sampler, settings that were trained, epochs, seconds.
trials = study.trials
print(trials[["number", "state", study.objective, "margins", "negative_weight", "epochs_trained"]])

# %% Which margins were good? The highest margin of each trial against its value.
print(trials.assign(highest=trials["margins"].str[-1])[["highest", study.objective]].corr())

# %% The journal is Optuna's own format: Optuna can read it without this program.
plain = optuna.load_study(
    study_name="demo_mml", storage=JournalStorage(JournalFileBackend(str(study.folder.parent / "journal.log")))
)
curves = pd.DataFrame({trial.number: pd.Series(trial.intermediate_values) for trial in plain.trials}).sort_index()
curves.index.name = "epoch"
print(curves.round(4))
