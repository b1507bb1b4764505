"""The images of a project: those of its binaries, from dist/, and those of its own Dockerfiles.

Read `image` first: it is the command `image` (push, load, save). `binary_image` and `dockerfile_image` say what each image is made of,
`binary_assembly` and `dockerfile_assembly` how it is built and checked. `dockerfile` renders the Dockerfile of the binaries,
`in_container` compiles in a container, `bases` asks registries about base images. `without_engine` says which images need no container
engine: `direct_image` makes and checks them from `stage_layers`, `workshop` has what they share.

Must not depend on testing, doctor, ci, report or cli, nor use subprocess, the Docker SDK, requests or tenacity itself: it returns
steps, and the runner and the registry client carry them out.
"""
