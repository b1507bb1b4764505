"""Completion in shells: `bash`, `zsh` and `fish` print a script each, `values` answers what a script asks while it completes.

Commands, options, arches and all other fixed words are in the scripts, so that completing them starts no process.
"""
