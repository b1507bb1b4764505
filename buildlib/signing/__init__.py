"""Signatures and attestations that cosign verifies, made with a local key: of images in a registry, and of dist/.

Read `bundles` first: a sigstore bundle holds an in-toto statement (`core.statements`) and its signature. `keys` reads keys, signs and
verifies. `images` attaches bundles to an image and verifies them, `signer` is what a command signs its images with, and `directory`
does both for dist/. What a provenance says is in `binaries.provenance`.

Formats: sigstore's bundle v0.3, DSSE 1.0, in-toto's Statement v1, and cosign's specs/BUNDLE_SPEC.md for registries. Must not depend on
images or above. All that comes from a registry is untrusted until its signature is verified.
"""
