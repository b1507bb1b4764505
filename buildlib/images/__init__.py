"""From the gated binaries in dist/ to multi-platform images.

Read `image` first: it is the command `image` (push, load, save). `spec` says what each image consists of. Static binaries become
OCI image layouts without Docker (`oci`, `oci_layouts`); every other image is built by buildx (`check`) from the Dockerfile that
`dockerfile` renders, and every image is checked before a tag points to it (`push`, `local`). `in_container` compiles in a container,
`remote` verifies an image in its registry.

Must not depend on testing, doctor, ci, report or cli, nor use subprocess, the Docker SDK, requests or tenacity itself: it returns
steps, and the runner and the registry client carry them out.
"""
