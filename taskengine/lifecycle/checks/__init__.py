"""Checks of definitions and task groups that take more than one object to judge, one subject each."""
