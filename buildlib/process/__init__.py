"""Everything with side effects: processes, files, locks, retries, and all output.

Start with `runner`, which executes the steps and file actions of a plan. `output_reader` reads what a running step prints, `retry`
decides whether and when a failure is tried again, `files` writes files atomically and locks directories, `console` is the only
module that prints, and `history` records what ran when. `context` is what every command starts with.

This package must not import docker, requests, invoke or nox, nor any package above `machine`.
"""
