"""What a failed command's output means: the class of the failure, its cause, help, and whether a retry helps.

Read `classify` first: it reads a log with the rules in rules/*.toml, one file per subject. `log` splits a log into lines without
colours, time stamps and BuildKit's prefixes. `redact` removes secrets from text before it is stored or shown.

Everything here is pure: no processes, no network, no files apart from the rules. It depends on no other package.
"""
