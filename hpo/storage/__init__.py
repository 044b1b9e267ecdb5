"""Where studies live: a journal file, or a database that may be away for a while."""
