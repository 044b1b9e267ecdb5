"""Comparison of methods from files of other programs and from finished runs of this one."""
