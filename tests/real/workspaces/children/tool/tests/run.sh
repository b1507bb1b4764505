#!/bin/sh
# Starts the program from a shell, in a subshell and through env.
set -eu
"$1" arch
("$1" arch)
env A=b "$1" arch
