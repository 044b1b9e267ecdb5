"""What a person runs: studies, search, confirmation, export. Commands are modules: python -m hpo.run, hpo.train, ..."""
