#!/usr/bin/env bash
# What sccache takes for rustc. It asks for the version, the files that a crate is made from and the names of its results, and compiles.
[[ -n $_BUILDLIB_DIRECTORY && " $* " == *" --crate-name "* ]] || exec @RUSTC@ "$@"
@PATHS@
cd "$_BUILDLIB_DIRECTORY" || exit @FAILED@
unset CARGO_MANIFEST_DIR CARGO_MANIFEST_PATH CARGO_BUILDLIB _BUILDLIB_DIRECTORY
for name in "${!_BUILDLIB_OWN_@}"; do export "${name#_BUILDLIB_OWN_}=${!name}"; unset "$name"; done
asks=compile
case "${*: -4:3}" in "--emit dep-info -o") asks=files list=${*: -1} ;; esac
case "${*: -2}" in "--print file-names") asks=names ;; esac
args=() previous=
for word; do
    case $previous in --out-dir) folder=$word ;; --crate-name) crate=$word ;; esac
    case $word in
    extra-filename=*) suffix=${word#*=} ;;
    /.buildlib/*.rs) placed "$word"; word=$text ;;
    -*) ;;
    *.rs) if [[ $asks == files && -f $word ]]; then word=$PWD/$word; fi ;; # sccache is in another directory
    esac
    args+=("$word") previous=$word
done
[[ $asks != names ]] || exec @PLAIN@ "${args[@]}"
@PLAIN@ "${args[@]}" || exit
if [[ $asks == compile ]]; then
    if grep -qaF @OWN@ -- "$folder/lib$crate$suffix".r*; then exit @LOCAL@; fi
    echo compiled >> "$_BUILDLIB_CACHE_LOG"
    list=$folder/$crate$suffix.d
    [[ -f $list ]] || exit 0
    named "$(< "$list")"
    printf '%s\n' "$text" > "$list.new" && mv "$list.new" "$list"
    exit
fi
# sccache's key has the values of the variables that the crate reads, by this list. A path may then be in the crate as a string, which
# is found above; but not in bitcode, so paths stay paths there.
case " $* " in *linker-plugin-lto*) exit 0 ;; esac
while IFS= read -r line; do
    case $line in "# env-dep:"*) named "$line/"; line=$text ;; esac
    printf '%s\n' "$line"
done < "$list" > "$list.new" && mv "$list.new" "$list"
