"""Smoke tests of one image: start it as a container, and check that it works.

Read `expectation` first (what must hold), then `checks` (the checks, in order). `containers` has the daemon and the containers,
`pulls` the images, of which one command may leave none there after its end. `layout` checks the images of an OCI layout before they
get a name anywhere, for which `archive` makes what `docker load` reads; `probe` tells an image with a wrong program from a daemon
that cannot run the platform.

Must not depend on images, testing, doctor, ci, report or cli, nor use subprocess or tenacity itself.
"""
