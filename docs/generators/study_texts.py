"""The texts of docs/studies.md between its tables."""

HEAD = """\
<!-- Written by `python -m docs.generators` from the classes that check study files. Change their docstrings, not this page. -->
# Study files

A study file is a YAML file. It names the dataset, the loss that is searched, the settings that stay fixed, the length of the
search, and the rivals. Its name without `.yaml` is the study's name. This is `studies/yelp_mml.yaml`:

```yaml
EXAMPLE```

- `python -m hpo.studies new DATA > mine.yaml` writes a commented file for your own data.
- `python -m hpo.studies list` lists the shipped studies. `python -m hpo.studies show NAME` prints one as a file.
- An unknown key is an error, and the message suggests the nearest known key. So is a key that is given twice.
- A path in the file (`dataset`, `rivals`) is relative to the file.
- A dash in the column `default` means: nothing, or what the program finds out for itself.

**What may change later.** A study keeps its definition: the training data, how they were split, the ranges, `config`, the
objective, the sampler, the pruner, the seed, the epochs of a trial, and the engine. The number of trials, `confirm`, `rivals`
and `baselines` may change, and so may workers, lanes, device and paths. If the file says something else than the stored study,
the command names the difference. Then choose another name with `--study-name`, or delete the old study with
`hpo.studies delete`.
"""

CONFIG = """\
The settings that every trial has, unless `space.also` searches them. The key `loss` comes from `space`, `epochs` and `seed`
from `search`, so they are refused here."""

END = """\
## A config file

`python -m hpo.train FILE.yaml` trains one config. Its file has the keys of [config](#config), and also `loss`, `epochs` (100)
and `seed` (0):

```yaml
loss: {name: bsl, temperature: 0.1}
learning_rate: 1.0e-3
epochs: 20
```

The exported files `winner.yaml` and `best.yaml` hold the same mapping under their key `config`, see [Outputs](outputs.md).
"""
