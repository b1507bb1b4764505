"""Dockerfiles made of what people write, put together by chance."""

COMMANDS = [
    "curl -LO https://e.com/x-amd64.tgz", "[ -f /x ]", "[[ $a == b ]]", 'echo "a b"', "echo 'it'", "ls", "a=b", "$(uname -m)",
    "`ls`", "{ ls; }", "( cd /x; ls )", "if [ a ]; then ls; else cat; fi", 'case "$A" in x) ls;; *) exit 1;; esac', 'cat <<<"$a"',
    "f() { ls; }", "echo $((1<<2))", '"/bin/x" a', "echo a#b", 'echo "a # b"', 'echo \\"x\\"', "make -j$(nproc)", "echo {a,b}",
    'grep "^a$"', "git clone git@github.com:a/b", "echo é", 'x --y=z "w"', "echo a\\ b", "tar xzf - -C /", 'sed "s/[a]/b/"',
    'echo "<<EOF"', "echo '<<EOF'", "awk '{print \"x\"}'", "echo `date` > /x 2>&1", "ls | wc", 'python3 -c "print(1)"',
    "for i in a b; do ls $i; done", "ls | grep a$", 'x="$(case $(uname -m) in a) b;; *) c;; esac)/d"',
    "while read a; do ls; done < /x", "! ls", "A=b C=d env", "export A=$(ls)", "echo ${A:-b} ${A#b} ${A//c/d}", "set -eux",
    "test -f /x",
]  # fmt: skip
BETWEEN = [" && ", "; ", " || ", " | ", " && \\\n    ", "; \\\n  ", " || \\\n\t", " \\\n  && ", " \\\n | "]
# What only a Dockerfile's instruction goes on over.
OVER = [" && \\\n# comment\n  ", " && \\\n   # it's a \"comment [\n\n  ", " && \\  \n  ", " \\\n\n && "]
FLAGS = [
    "", "", "--mount=type=cache,target=/x ", "--network=none ", "--mount=type=bind,target=. \\\n  ",
    "--mount=type=cache,target=/a \\\n    --mount=type=cache,target=/b \\\n    ", "--mount=type=cache,target=/a \\\n # c\n  ",
]  # fmt: skip
DOCUMENT = [
    "#!/bin/bash", "set -e", "RUN ls", "FROM x", "[ a ]", "  if [ b ]; then", 'echo "a', "ls \\", "\techo", "", "# c", "it's",
    "EOFX", " EOF", "cat <<X", "X", "COPY a b",
]  # fmt: skip
OTHERS = [
    "COPY a b", "COPY --from=x /a /b", "COPY --chown=1:1 a b", 'COPY ["a b", "c"]', "COPY --link --from=x \\\n  a \\\n  b",
    "COPY a \\\n # c\n b /", "COPY *.txt [a] /x/", "COPY <<EOF /x\na $b\nRUN x \\\nEOF", 'COPY <<"EOF" /x\nFROM a\nEOF',
    "COPY <<A <<B /x/\na\nA\nb\nB", "COPY --chmod=755 <<-EOF /x\n\ta\n\tEOF", "ADD https://e.com/x.tgz /x",
    "ADD --checksum=sha256:aa https://e.com/a b", "ENV A b", "ENV A=b", 'ENV A="b c" D=e', "ENV A=b\\ c", "ENV A b c d",
    'ENV A=b \\\n  C=d \\\n  # x\n  E="f g"', "ENV A=${B:-c}", "ENV A=$B:/x", "ENV A=[b]", "ENV A=b#c", "ENV A ${B#x}",
    'ENV A="x\\"y"', "ENV A=", "ENV PATH /a:$PATH", "ENV A='{\"x\": 1}'", "ENV A=a,b", "ENV A=$(x)", "ARG A", "ARG A=b",
    'ARG A="b c"', "ARG A=b C=d", "ARG A=${B}", "ARG A=https://e.com/x?y=z&w", "ARG A=a:b@c", "ARG A=${B%%.*}", "ARG A=${B/a/b}",
    'ARG A="x" # c', 'LABEL a.b="c d"', "LABEL a b", 'LABEL "a b"="c"', 'LABEL a="b \\\n  c"', "LABEL a=b \\\n  c=d",
    'LABEL a="{}"', 'LABEL a="it\'s"', 'CMD ["a", "b"]', "CMD a b", "CMD [ -f x ] && y", 'CMD ["a", \\\n  "b"]', 'CMD exec "$@"',
    'ENTRYPOINT ["/tini", "--", \\\n "x"]', 'ENTRYPOINT a "$b"', "WORKDIR /a", "WORKDIR $A/b", "USER a:b", "USER ${A:-b}",
    "EXPOSE 80/tcp 443", "VOLUME /a /b", 'VOLUME ["/a"]', 'SHELL ["/bin/bash", "-c"]', "STOPSIGNAL SIGTERM", "HEALTHCHECK NONE",
    "HEALTHCHECK CMD curl http://x || exit 1", 'HEALTHCHECK --interval=5s CMD ["a"]',
    "HEALTHCHECK --interval=5m \\\n  CMD [ -f x ] || \\\n  [ -f y ]", "ONBUILD RUN ls", "ONBUILD COPY . /x",
    "MAINTAINER a b <c@d.e>", "FROM a:b AS c", "FROM --platform=$BUILDPLATFORM a AS b-c", "FROM ${A}:b", "FROM a:${B:-c} as d",
    "FROM reg.io:5000/a/b:c", "FROM $A", "FROM a-${T} AS x", "FROM ${A#b}/c", "# comment \"x' [", "", "   # c",
]  # fmt: skip

NAMES = ["V", "W", "X", "TARGETARCH", "TARGETOS", "BUILDPLATFORM"]
READS = [
    "${N}",
    "{{N}}",
    "a${N}",
    "{{N}:-d}",
    '"${N}"',
    '"a-{{N}}/b"',
    "\\${N}",
    "'${N}'",
    "{{N}:+d}",
    "${N}${N}",
    "{{N}%x}",
    "{{N}#a}",
]
READERS = [
    "LABEL l={}", "LABEL a=b \\\n  c={}", "ENV E={}", "ENV E=a \\\n # c\n  G={}", "ENV E {}", "WORKDIR /{}", "COPY {} /x", "ADD {} /x",
    "USER {}", "VOLUME /{}", "ARG Q={}", "COPY <<EOF /x\n{}\nEOF", "COPY <<'EOF' /x\n{}\nEOF", "ENV A=1 B={}", "CMD echo {}", "# {}",
]  # fmt: skip


def stages(chance):
    """A file of one to four stages, some of which stand on others, that declares and reads a few variables."""
    told = [f"ARG {name}=1" for name in chance.sample(NAMES[:5], chance.randint(0, 3))]
    for number in range(chance.randint(1, 4)):
        told.append(f"FROM {chance.choice(['scratch', *(f's{below}' for below in range(number))])} AS s{number}")
        for _ in range(chance.randint(1, 5)):
            name = chance.choice(NAMES)
            read = chance.choice(READS).replace("{{N}", f"${{{name}").replace("{N}", name)
            told.append(
                chance.choice([f"ARG {name}", f"ENV {name}=1", *[line.replace("{}", read) for line in READERS]])
            )
    return "\n".join([*told, ""])


def dockerfile(chance):
    """A file of one to six instructions."""
    return "FROM z\n" + "".join(f"{_instruction(chance)}\n" for _ in range(chance.randint(1, 6)))


def script(chance, between=BETWEEN):
    """One to five commands; not each of these is a script."""
    told = chance.choice(COMMANDS)
    for _ in range(chance.randint(0, 4)):
        told += chance.choice(between) + chance.choice(COMMANDS)
    return told


def _instruction(chance):
    match chance.randint(0, 9):
        case 0 | 1 | 2 | 3:
            start = chance.choice(["RUN ", "RUN ", "run ", "  RUN ", "RUN\t", "RUN \\\n  "])
            return start + chance.choice(FLAGS) + script(chance, BETWEEN + OVER)
        case 4:
            return f"RUN {chance.choice(FLAGS)}{_document(chance)}"
        case _:
            return chance.choice(OTHERS)


def _document(chance):
    lines = "".join(f"{line}\n" for line in chance.choices(DOCUMENT, k=chance.randint(1, 6)))
    before = chance.choice(["", "cat ", "bash ", "python3 - "])
    mark = chance.choice(["EOF", '"EOF"', "'EOF'", "-EOF", '-"EOF"'])
    behind = chance.choice(["", " > /x", " && ls", " | sh", " bash", " > /a && \\\n  ls"])
    return f"{before}<<{mark}{behind}\n{lines}EOF"
