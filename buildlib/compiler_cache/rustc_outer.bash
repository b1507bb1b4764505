#!/usr/bin/env bash
# rustc through the cache, where there is one and sccache can keep the result: libraries without incremental compilation.
words=" $* "
case $words in
*" - "* | *" --test "* | *" --print"* | *incremental=* | *target-cpu=native*) exec @PLAIN@ "$@" ;;
*" --crate-type bin "* | *" --crate-type dylib "* | *" --crate-type cdylib "*) exec @PLAIN@ "$@" ;;
*" --crate-type proc-macro "* | *" --crate-type staticlib "*) exec @PLAIN@ "$@" ;;
*" --crate-type lib "* | *" --crate-type rlib "*) ;;
*) exec @PLAIN@ "$@" ;;
esac
[[ -S $SCCACHE_SERVER_UDS ]] || exec @PLAIN@ "$@"
@PATHS@
args=() previous=
for word; do
    case $previous in --out-dir) folder=$word ;; --crate-name) crate=$word ;; esac
    case $word in
    linker=*) unset 'args[-1]'; previous=; continue ;; # nothing of a library
    extra-filename=*) suffix=${word#*=} ;;
    /*.rs) named "$word"; word=$text ;;
    esac
    args+=("$word") previous=$word
done
exec {stdout}>&1 # a free number: small ones may be those of the jobserver
said=$(
    exec 2>&1 >&"$stdout" {stdout}>&-
    export _BUILDLIB_DIRECTORY=$PWD CARGO_BUILDLIB=@HOST_KEY@
    case $words in *" --target "*) CARGO_BUILDLIB=@TARGET_KEY@ ;; esac
    for name in "${!CARGO_@}"; do
        case $name in
        CARGO_PKG_* | CARGO_CRATE_NAME | CARGO_PRIMARY_PACKAGE | CARGO_MANIFEST_LINKS) continue ;;
        CARGO_MAKEFLAGS | CARGO_BUILDLIB) continue ;;
        esac
        export "_BUILDLIB_OWN_$name=${!name}"
        case $name in
        CARGO_MANIFEST_DIR | CARGO_MANIFEST_PATH) named "${!name}/"; export "$name=$text" ;;
        *) unset "$name" ;;
        esac
    done
    cd /
    exec @SCCACHE@ @INNER@ "${args[@]}"
)
code=$?
exec {stdout}>&-
case $code in @AGAIN@) exec @PLAIN@ "$@" ;; esac # which says once more what is wrong with the source
[[ -z $said ]] || printf '%s\n' "$said" >&2
if [[ $code == 0 ]]; then
    echo rustc >> "$_BUILDLIB_CACHE_LOG"
    list=$folder/$crate$suffix.d
    if [[ -f $list ]]; then
        placed "$(< "$list")"
        printf '%s\n' "$text" > "$list.new" && mv "$list.new" "$list"
    fi
fi
exit $code
