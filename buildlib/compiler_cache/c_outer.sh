case " $* " in
*" -c "*)
    if [ -S "$SCCACHE_SERVER_UDS" ]; then
        _BUILDLIB_C=@PLAIN@ @SCCACHE@ @INNER@ "$@"
        code=$?
        [ $code -ne 0 ] || echo C >> "$_BUILDLIB_CACHE_LOG"
        [ $code -eq @FAILED@ ] || exit $code
    fi
    ;;
esac
