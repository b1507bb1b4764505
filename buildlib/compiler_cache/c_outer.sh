case " $* " in
*" -c "*)
    if [ -S "$SCCACHE_SERVER_UDS" ]; then
        BUILDLIB_C=@PLAIN@ @SCCACHE@ @INNER@ "$@"
        code=$?
        [ $code -ne 0 ] || echo C >> "$BUILDLIB_CACHE_LOG"
        [ $code -eq @FAILED@ ] || exit $code
    fi
    ;;
esac
