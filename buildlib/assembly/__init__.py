"""How one image is built by buildx, checked, and then pushed, loaded into the daemon or saved as a layout.

Read `assembly` first: an `Assembly` builds an image and checks it; `push`, and `local` for this machine, say where it goes, and
that no name refers to it before it was checked. `direct`, `direct_tasks`, `configurations` and `roots` are the same without an
engine. `spec` is what was requested and what became of it. `oci` makes documents of the OCI image specification, `oci_layouts`
writes layouts. `run` carries out the tasks of a command.

Which images there are is not known here (`images`).
"""
