"""Some platforms of an image, while other machines make the others: pushed by digest and checked, without a tag.

`buildlib merge` joins the parts and moves the tags.
"""

from __future__ import annotations

from dataclasses import dataclass

from buildlib.assembly.push import Push
from buildlib.assembly.spec import ImageResult, PushedPart
from buildlib.builder import buildx
from buildlib.core.plan import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPart(Push):
    """Push one component's image for some of its platforms."""

    def __call__(self) -> ImageResult:
        """Build, upload and check the images. The error of the first step that fails."""
        recipe = self.assembly.recipe()
        self.assembly.check_before_push()
        pushed = self._build({})
        self.assembly.check_platforms(self.repository, pushed.images)
        self.assembly.check_pushed(self.repository, pushed.images, self._address, known=False)
        return ImageResult(
            component=self.assembly.name, status=Status.DONE, platforms=self.assembly.image.platforms, where=self.repository,
            digest=pushed.digests[0], layers=self._layers(pushed.images), images=pushed.images,
            part=PushedPart(digests=pushed.digests, recipe=recipe),
        )  # fmt: skip

    def show(self) -> None:
        """Show what would be built and uploaded, in a dry run."""
        self.assembly.show()
        for group in self.assembly.groups:
            self.assembly.build(group, buildx.to_registry(self._address, {}))
