"""What a failed command's output means: the class of the failure, its cause, help, and whether a retry helps.

Read `classify` and `diagnosis` first: they read a log with the rules in rules/*.toml, which `rule` loads. `log` splits a log into
lines, `prefix` removes what CI systems and BuildKit put before them and reads lines of JSON, `noise` knows lines that state nothing
and names, `sections` what is a test's output, `hits` which lines match a rule, `process_output` reads what a build script without
rules of its own printed. `redact` removes secrets from text before it is stored or shown.

Everything here is pure: no processes, no network, no files apart from the rules. It depends on `core` alone.
"""
