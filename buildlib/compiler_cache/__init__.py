"""A cache of what rustc and the C compilers make, shared by directories and machines: sccache, called by scripts.

Start with `scripts`, which puts scripts in the place of the compilers; their texts are beside it. `store` knows the stores of the
settings and what sccache needs of this machine, `server` starts sccache's server for a build and watches it.
"""
