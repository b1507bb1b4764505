"""Registry access: image references, and a client and a gateway that retry each request.

Start with `reference`, which parses the names of images. `http` has requests and answers, `client` sends them with retries and
mirrors, `tokens` gets the tokens that registries ask for, and `origins` says where credentials may go. `content` reads manifests
and blobs, which `digests` verifies, `uploads` writes them, `blob_copies` brings layers into other repositories from `blob_cache`.
`gateway` is the server on the loopback through which buildx and BuildKit use the client, `connection` one connection to it, and
`session` opens the gateway for the time of a command.

This package must not import docker, tenacity, invoke or nox, nor any package above `lint`.
"""
