#!/bin/bash
# What cross takes for the container engine. It writes down how the container would be started, or starts it with the cache's files.
[[ $1 == run && ${*: -3:2} == "sh -c" ]] || exec @ENGINE@ "$@"
if [[ -n $_BUILDLIB_CACHE_ASKS ]]; then
    printf '%s\0' "${@:2:$#-4}" > @OPTIONS@
else
    exec @ENGINE@ run @ADDED@ "${@:2:$#-3}" -c '. "$0"; eval "$1"' @CONTAINER@ "${*: -1}"
fi
