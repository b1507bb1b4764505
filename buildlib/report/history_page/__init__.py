"""The HTML page of `report`: what the last commands built, cached, measured and failed with.

`summary` reads the lines of the history into `records`: commands, problems, totals, series, images. `page` writes these as HTML with
`page.css`, through the helpers of `html`.

The page is one file: it loads nothing, runs no script, and all text in it is escaped, because names come from outside.
"""
