"""What a person runs: studies, search, confirmation, export. Verbs are modules: python -m hpo.run, hpo.train, ..."""
