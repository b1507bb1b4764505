"""A gate for any image, whatever is in it: whether each platform's image can start there, and contains no file for another one.

Read `check` first: it is the gate, a pure function of configuration and layers, which come from a registry (`remote`, the command
`verify IMAGE`) or a directory (`layouts`), and are what `manifests` says. `scans` reads each layer once and notes what is in its files
(`contents`, `zip_files`); `files` has the result. `startup` follows what a container starts through `commands` in between, `loading`
its loader and its libraries; `machines` has the rules for a single file, `alternatives` those for files side by side.

Must not use subprocess, the Docker SDK, requests or tenacity itself, nor anything of images or above.
"""
