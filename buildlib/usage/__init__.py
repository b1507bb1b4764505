"""What the command line says of itself: pages of help, and scripts that complete it in shells.

Both are made from `option_table`, which says what every option takes, and from the commands' own declarations. `next_command` has the
last lines of a command.
"""
