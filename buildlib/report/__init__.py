"""Results of the commands, for users and for programs.

Start with `results`, which has the type of every JSON result; `tables` and `test_tables` print a result as a table or as that JSON.
`schemas` writes the types as JSON schemas and the declared settings as docs/settings.md. `page` is the HTML page of `report`.

Nothing here computes a result or starts a process: modules take finished results and print them through the console. No module
may import invoke or nox.
"""
