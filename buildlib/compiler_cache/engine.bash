#!/usr/bin/env bash
# CROSS_CONTAINER_ENGINE. With @ASKS@ it records how cross starts a container. A container that is started like the one recorded gets
# what the cache needs; anything else is passed on as it is.
[[ $1 == run && ${*: -3:2} == "sh -c" ]] || exec @ENGINE@ "$@"
options() { # without variables: cargo's own differ, and sccache's client tells its server those of each compilation
    while (($#)); do
        case $1 in -e | --env) shift ;; *) printf '%s\0' "$1" ;; esac
        shift
    done
}
if [[ -n $@ASKS@ ]]; then
    options "${@:2:$#-4}" > @OPTIONS@
    exit
fi
[[ -S $SCCACHE_SERVER_UDS ]] && options "${@:2:$#-4}" | cmp -s - @OPTIONS@ || exec @ENGINE@ "$@"
exec @ENGINE@ run @ADDED@ "${@:2:$#-3}" -c '[ ! -r "$0" ] || . "$0"; eval "$1"' @CONTAINER@ "${*: -1}"
