"""Study files: one YAML per named study, read by hpo.spec. No code here."""
