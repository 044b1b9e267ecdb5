"""What a study is, in a file and in a storage, and its trials."""
