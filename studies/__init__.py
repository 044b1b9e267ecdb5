"""Study files: one YAML per named study, read by hpo.study.spec. No code here."""
