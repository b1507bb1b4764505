"""The layers of an image, read as a container engine reads them, and new ones, written as BuildKit writes them.

Start with `file_system`, which applies layers on top of each other, with whiteouts and links, and finds files in the result. `tar`
reads the entries of one layer, `sparse` the maps of files with holes, `nodes` has the tree, `compression` decompresses a layer.
`new_layers` puts layers on others, `writer` makes their tar files, `unpack` writes an image to the disk.

Layers come from anywhere: they are read in bounded memory, and what has no end is refused with a LayerError. They are local files
whose digests were verified. Nothing here may use the network, or anything else of buildlib.
"""
