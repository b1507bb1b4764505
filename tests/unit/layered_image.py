"""Images of given layers, for tests of what reads images."""

from buildlib.assembly import configurations, oci
from buildlib.assembly.direct import DirectImage, PlatformImage


def layered_image(layers, runtime):
    """The image whose only layer for each platform ("linux/arm/v7") is a tar file."""
    images = []
    for platform, tar in layers.items():
        steps = [("layer", oci.digest(tar))]
        configuration = configurations.configuration(configurations.SCRATCH, platform, runtime, 7, steps)
        made = PlatformImage(platform=platform, base=(), layers=(oci.compressed(tar),), configuration=configuration)
        images.append(made)
    return DirectImage(images=tuple(images), annotations={}).layout()
