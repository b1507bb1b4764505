"""The layers of an image, read as a container engine reads them, without unpacking them to the disk.

Start with `file_system`, which applies layers on top of each other, with whiteouts and links, and finds files in the result. `tar`
reads the entries of one layer, `sparse` the maps of files with holes, `nodes` has the tree, `compression` decompresses a layer.

Layers come from anywhere: they are read in bounded memory, and what has no end is refused with a LayerError. They are local files
whose digests were verified. Nothing here may use the network, or anything else of buildlib.
"""
