"""The layers of an image, read as a container engine reads them, without unpacking them to the disk.

Start with `file_system`, which applies layers on top of each other, with whiteouts and links, and finds files in the result. `tar`
reads the entries of one layer, `sparse` the maps of files with holes, `compression` decompresses a layer.

Layers come from anywhere: all four read them in bounded memory, and refuse what has no end with a LayerError. The layers are
local files whose digests were verified (`registry.content`). Nothing here may use the network.
"""
