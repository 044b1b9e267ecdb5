"""Tables of papers, and their rows beside ours."""
