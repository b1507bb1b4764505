"""What this machine lacks for builds, tests and images, and how to fix it: `doctor` and `setup`.

Read `checks` first: it collects the requirements that the other packages declare and adds those of the container engine
(`engine`). `fix` installs what is missing and checks again. `network` and `network_probe` test the connection to each registry
step by step; `network` is pure. `bug_report` collects what an issue should say, with the `reasons`.

No package below it may import it: they declare their own requirements, as core.requirements.Requirement.
"""
