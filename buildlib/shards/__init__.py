"""A command divided among several machines (`--shard 2/5`), and `merge`, which joins what they have made.

Read `part` first: which arches a machine takes. `record` writes what it has made beside the binaries, in dist/shard/. `merge` is the
command: `result` reads what other machines wrote, of which nothing is trusted, `agreement` finds parts that are missing or do not
fit, `binaries`, `reports` and `images` check and join the rest.

Nothing here may depend on report or cli.
"""
