"""The buildx builder, and the command lines of docker buildx.

`builder` describes the builder of the settings and how an existing one differs, `builder_commands` creates and removes it, and
`buildx` has the command lines and errors of every build. `progress` decodes what BuildKit reports while it builds (`vertexes`);
`step_times` makes a table of it, `emulation_limit` an error.

Must not depend on images, testing, doctor, ci, report or cli, nor use subprocess, the Docker SDK, requests or tenacity itself: it
returns steps, and the runner carries them out.
"""
