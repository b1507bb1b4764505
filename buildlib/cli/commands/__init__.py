"""The commands, one module per subject: flags in, exit code out.

They parse flags, call the package that does the work, and hand the result to `report`. No logic, and no output of their own. What
is heavy is imported inside the functions, so that `--help` stays quick.
"""
