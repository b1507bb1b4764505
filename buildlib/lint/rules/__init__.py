"""The rules, one module for each: `rules/hardcoded_platform.py` is the rule hardcoded-platform.

Start with a small one such as `hardcoded_platform`. `check` in each module gets an `Analysis` of a Dockerfile, or a TOML file, and
yields findings; functions with longer names look for the same problem in other kinds of files. rules.toml has the numbers,
severities and texts, images.toml the variables that official images set. What several rules need is in the modules beside this
package: `analysis`, `downloads` (with `download_names`, `copied_files` and `arch_options`), `triples` and `base_images`.

A rule must not import another rule, and opens no file but these tables.
"""
