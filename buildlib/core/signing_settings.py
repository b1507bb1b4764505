"""Settings of signatures and attestations."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

PASSWORD = "COSIGN_PASSWORD"  # the variable that cosign reads
VARIABLE = "env://"  # in front of the name of a variable that holds a key, as for cosign
_PREDICATE = Meta(
    pattern=r"\A(sbom|provenance|https?://\S+)\Z", extra={"expected": "sbom, provenance or the URI of a predicate type"}
)


class Signing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signatures and attestations of images and of dist/."""

    key: Annotated[
        str,
        Meta(
            description="private key that signs: a file, or env://NAME; the password is in COSIGN_PASSWORD",
            examples=["cosign.key"],
            extra={"flag": "image --sign"},
        ),
    ] = ""
    attest: Annotated[
        tuple[Literal["sbom", "provenance"], ...],
        Meta(
            description="attestations that the key signs for each platform's image: sbom, provenance",
            examples=[["sbom", "provenance"]],
            extra={"flag": "image --attest"},
        ),
    ] = ()
    require: Annotated[
        tuple[Annotated[str, _PREDICATE], ...],
        Meta(
            description="attestations that `verify --key` requires beside the signature: sbom, provenance, or the URI of another"
            " predicate type",
            examples=[["sbom", "provenance"]],
        ),
    ] = ()

    def secrets(self) -> frozenset[str]:
        """The variables with the key and its password, which no other program gets."""
        return frozenset({PASSWORD, *([self.key.removeprefix(VARIABLE)] if self.key.startswith(VARIABLE) else [])})
