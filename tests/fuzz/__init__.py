"""Fuzzing: a target per decoder, run by atheris (`__main__`) or, over the corpus that is kept, by pytest."""
