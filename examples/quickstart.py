"""Search the Multi-Margin Loss on the demo data, look at what was tried, and see whether it beats its rivals.

Run it as a script, or cell by cell in an editor that knows `# %%` cells. It takes some minutes; run again, it continues.
"""

# %% Search. The demo study has MML on synthetic data; `tune_rivals` gives CCL and BSL the same number of trials.
from hpo.api import confirm, search

study = search("demo_mml", trials=40, tune_rivals=True)
print(study)

# %% What was tried: a pandas table with a row for each trial.
table = study.trials
print(table.nlargest(5, study.objective)[["number", study.objective, "margins", "weights", "negative_weight"]])
print(study.best_config)

# %% Does it beat its rivals? The best configs are trained at full epochs over several seeds, and the test split is read once.
verdict = confirm(study)

# %% The verdict as tables and sentences. A notebook shows `verdict` in this way by itself.
print(verdict.table)
print(verdict.comparisons)
for sentence in verdict.statements + verdict.caveats:
    print("-", sentence)

# %% A page with pictures that needs no network, and the config that won, ready for `trainers.train`.
print(verdict.report("verdict.html"))
print(verdict.winner)
