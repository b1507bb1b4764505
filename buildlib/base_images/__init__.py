"""The images that a Dockerfile is built from, and whether they have every platform.

`dockerfile` reads the text as BuildKit does and returns every external image with its platforms (`instructions`, `words`, `patterns`,
`mounts` and `stages` are its parts, all pure). `check` asks the registries for all of them at once (`registry_tags`), and `tags` finds
the tag that a user probably wants instead of one without a platform; `platforms` says which image serves which.
"""
