"""What a command needs to talk to a person: flags, errors, the study that is meant, the terminal."""
