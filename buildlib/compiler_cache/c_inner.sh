#!/bin/sh
# @IDENTITY@
case " $* " in *" -E "*) ;; *" -c "*) echo compiled >> "$BUILDLIB_CACHE_LOG" ;; esac
exec "$BUILDLIB_C" "$@"
