"""What users see, as text: for terminals, pipes and CI systems. `process.console` prints it.

`escaping` keeps text from elsewhere from controlling a terminal or GitHub's runner, `terminal` knows what a stream can show,
`text_table` makes tables, `progress` is how far a step is, and `status` the lines about what is running. Only `status` writes, to the
terminal that it is given.

This package imports no other of buildlib.
"""
