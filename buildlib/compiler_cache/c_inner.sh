#!/bin/sh
# @IDENTITY@
case " $* " in *" -E "*) ;; *" -c "*) echo compiled >> "$_BUILDLIB_CACHE_LOG" ;; esac
exec "$_BUILDLIB_C" "$@"
