# cross's container sources this before it starts cargo. Without the server or bash nothing changes.
if [ -S "$SCCACHE_SERVER_UDS" ] && command -v bash > /dev/null; then
    scripts=@FOLDER@
    std() { cat "/rust/lib/rustlib/$1/lib/"*.rlib | sha256sum | cut -c 1-32; }
    own=$(/rust/bin/rustc -vV | sed -n 's/^host: //p')
    export RUSTC=@RUSTC@ _BUILDLIB_STD="$(std "$own")" _BUILDLIB_TARGET_STD="$(std @TRIPLE@)"
    for name in CC CXX; do
        case $name in CC) kind=cc ;; *) kind=c++ ;; esac
        eval "plain=\${${name}_@TARGET@-}"
        plain=$(command -v "$plain") || continue # the image names none, or one with options
        sum=$({
            cat "$plain"
            for part in cc1 cc1plus as; do cat "$(command -v "$("$plain" -print-prog-name=$part)")"; done
            "$plain" -dumpspecs
        } 2> /dev/null | sha256sum | cut -c 1-32)
        mkdir -p "$scripts/$sum"
        sed "s/@SUM@/$sum/" "$scripts/c_inner" > "$scripts/$sum/$kind" && chmod +x "$scripts/$sum/$kind"
        export "_BUILDLIB_PLAIN_$name=$plain" "_BUILDLIB_INNER_$name=$scripts/$sum/$kind" "${name}_@TARGET@=$scripts/$kind"
    done
fi
