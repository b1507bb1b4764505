"""Random Dockerfiles and shell scripts, composed of fragments that real ones contain."""

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
SEPARATORS = [" && ", "; ", " || ", " | ", " && \\\n    ", "; \\\n  ", " || \\\n\t", " \\\n  && ", " \\\n | "]
# Only an instruction of a Dockerfile continues after these: shell has no comments between continued lines.
CONTINUATIONS = [" && \\\n# comment\n  ", " && \\\n   # it's a \"comment [\n\n  ", " && \\  \n  ", " \\\n\n && "]
FLAGS = [
    "", "", "--mount=type=cache,target=/x ", "--network=none ", "--mount=type=bind,target=. \\\n  ",
    "--mount=type=cache,target=/a \\\n    --mount=type=cache,target=/b \\\n    ", "--mount=type=cache,target=/a \\\n # c\n  ",
]  # fmt: skip
HEREDOC_LINES = [
    "#!/bin/bash", "set -e", "RUN ls", "FROM x", "[ a ]", "  if [ b ]; then", 'echo "a', "ls \\", "\techo", "", "# c", "it's",
    "EOFX", " EOF", "cat <<X", "X", "COPY a b",
]  # fmt: skip
OTHER_INSTRUCTIONS = [
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
# Ways to use the variable N; "{{N}" stands for "${N" of an expansion with an operator.
USES = [
    "${N}", "{{N}}", "a${N}", "{{N}:-d}", '"${N}"', '"a-{{N}}/b"', "\\${N}", "'${N}'", "{{N}:+d}", "${N}${N}", "{{N}%x}", "{{N}#a}",
]  # fmt: skip
# Instructions that use a variable in place of "{}".
USING_INSTRUCTIONS = [
    "LABEL l={}", "LABEL a=b \\\n  c={}", "ENV E={}", "ENV E=a \\\n # c\n  G={}", "ENV E {}", "WORKDIR /{}", "COPY {} /x", "ADD {} /x",
    "USER {}", "VOLUME /{}", "ARG Q={}", "COPY <<EOF /x\n{}\nEOF", "COPY <<'EOF' /x\n{}\nEOF", "ENV A=1 B={}", "CMD echo {}", "# {}",
]  # fmt: skip


def stages(generator):
    """A file of one to four stages, some of them based on others, that declares and uses a few variables."""
    lines = [f"ARG {name}=1" for name in generator.sample(NAMES[:5], generator.randint(0, 3))]
    for number in range(generator.randint(1, 4)):
        lines.append(f"FROM {generator.choice(['scratch', *(f's{below}' for below in range(number))])} AS s{number}")
        for _ in range(generator.randint(1, 5)):
            name = generator.choice(NAMES)
            use = generator.choice(USES).replace("{{N}", f"${{{name}").replace("{N}", name)
            using = [text.replace("{}", use) for text in USING_INSTRUCTIONS]
            lines.append(generator.choice([f"ARG {name}", f"ENV {name}=1", *using]))
    return "\n".join([*lines, ""])


def dockerfile(generator):
    """A file of one to six instructions."""
    return "FROM z\n" + "".join(f"{_instruction(generator)}\n" for _ in range(generator.randint(1, 6)))


def script(generator, separators=SEPARATORS):
    """One to five commands. Not every result is a valid script."""
    text = generator.choice(COMMANDS)
    for _ in range(generator.randint(0, 4)):
        text += generator.choice(separators) + generator.choice(COMMANDS)
    return text


def _instruction(generator):
    match generator.randint(0, 9):
        case 0 | 1 | 2 | 3:
            start = generator.choice(["RUN ", "RUN ", "run ", "  RUN ", "RUN\t", "RUN \\\n  "])
            return start + generator.choice(FLAGS) + script(generator, SEPARATORS + CONTINUATIONS)
        case 4:
            return f"RUN {generator.choice(FLAGS)}{_heredoc(generator)}"
        case _:
            return generator.choice(OTHER_INSTRUCTIONS)


def _heredoc(generator):
    lines = "".join(f"{line}\n" for line in generator.choices(HEREDOC_LINES, k=generator.randint(1, 6)))
    before = generator.choice(["", "cat ", "bash ", "python3 - "])
    delimiter = generator.choice(["EOF", '"EOF"', "'EOF'", "-EOF", '-"EOF"'])
    after = generator.choice(["", " > /x", " && ls", " | sh", " bash", " > /a && \\\n  ls"])
    return f"{before}<<{delimiter}{after}\n{lines}EOF"
